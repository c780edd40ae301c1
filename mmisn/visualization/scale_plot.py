"""Plots of ``scale_histogram``: a row of two panels per rule."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from mmisn.chips import level_name

from .chip_picture import LEVEL_COLORS
from .scale_histogram import SeenScales, histogram, octave_edges

TRAINED_COLOR = '#2a9d4a'
IGNORED_COLOR = '#d62728'
LONG_COLOR = '#ff8c00'
ORIGINAL_COLOR = '#5b7fa6'


def plot_scales(rules: Sequence[SeenScales], names: Sequence[str] | None = None) -> Figure:
    """Draw the scales in the original beside trained and ignored ones as the network sees them (Figure 1e, 1f).

    A range in view pixels is marked on the right, ranges in original pixels on the left.

    Args:
        rules: One row each; all have the same axis.
        names: Headings; by default the rules' names.
    """
    figure = Figure(figsize=(14, 0.5 + 4.1 * len(rules)), dpi=100, layout='constrained', facecolor='white')
    FigureCanvasAgg(figure)
    grid = figure.subplots(len(rules), 2, squeeze=False)
    edges = octave_edges(np.concatenate([np.r_[s.original, s.seen.ravel()] for s in rules]))
    for (left, right), scales, name in zip(grid, rules, names or [s.rule.name for s in rules]):
        counts = histogram(scales, edges)[1]
        draw_steps(left, edges, counts[:, 0], ORIGINAL_COLOR, f'all {len(scales.original):,} objects')
        left.set_title(f'{name}: in the original', loc='left', weight='bold')
        draw_steps(right, edges, counts[:, 1], TRAINED_COLOR, f'trained ({int(counts[:, 1].sum()):,})')
        draw_steps(right, edges, counts[:, 2], IGNORED_COLOR, f'ignored, out of range ({int(counts[:, 2].sum()):,})')
        if counts[:, 3].any():
            draw_steps(
                right, edges, counts[:, 3], LONG_COLOR, f'ignored, too long for a chip ({int(counts[:, 3].sum()):,})'
            )
        num_levels = len(scales.rule.levels)
        right.set_title(f'{name}: as the network sees them, {num_levels} level{"s" * (num_levels > 1)}', loc='left')
        _mark_ranges(left, right, scales)
        for axes, unit in ((left, 'original'), (right, 'view')):
            _finish(axes, edges, unit)
    return figure


def draw_steps(axes: Axes, edges: np.ndarray, counts: np.ndarray, color: str, label: str) -> None:
    """A filled step curve; where two overlap, both show."""
    axes.stairs(counts, edges, fill=True, color=color, alpha=0.38)
    axes.stairs(counts, edges, color=color, lw=1.8, label=label)


def scale_axis(axes: Axes, edges: np.ndarray) -> None:
    """Make the x axis one of scales: logarithmic, a tick at each power of two.

    Args:
        axes: The panel.
        edges: Bin edges in pixels; the axis ends at the first and the last.
    """
    axes.set_xscale('log', base=2)
    axes.set_xlim(edges[0], edges[-1])
    first, last = math.ceil(math.log2(edges[0])), math.floor(math.log2(edges[-1]))
    axes.xaxis.set_major_locator(FixedLocator([2.0**e for e in range(first, last + 1)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f'{v:g}'))
    axes.spines[['top', 'right']].set_visible(False)


def _mark_ranges(left: Axes, right: Axes, scales: SeenScales) -> None:
    drawn = set()
    for i, (level, scale_range) in enumerate(zip(scales.rule.levels, scales.rule.ranges)):
        in_view = scale_range.frame == 'view'
        if scale_range.is_infinite or (in_view and scale_range in drawn):
            continue
        drawn.add(scale_range)
        spelled = f'[{scale_range.lower:g}, {"∞" if math.isinf(scale_range.upper) else f"{scale_range.upper:g}"}] px'
        label = f'range {spelled}' if in_view else f'range {spelled} at {level_name(level)}'
        color = 'black' if in_view else LEVEL_COLORS[i % len(LEVEL_COLORS)]
        for bound in (scale_range.lower, scale_range.upper):
            if 0 < bound < math.inf:
                (right if in_view else left).axvline(bound, color=color, ls='--', lw=1.6, label=label)
                label = None


def _finish(axes: Axes, edges: np.ndarray, unit: str) -> None:
    scale_axis(axes, edges)
    axes.set_xlabel(f'sqrt(w h), {unit} px')
    axes.set_ylabel('objects' if unit == 'original' else 'objects x levels')
    axes.grid(axis='y', alpha=0.25)
    axes.set_ylim(bottom=0)
    axes.legend(frameon=False, fontsize=9)
