"""A picture of a suggestion of factors and range: the data's scales, what each level covers, what the network sees."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from mmisn.chips.suggest import Suggestion

from .scale_histogram import SeenScales, histogram, octave_edges
from .scale_plot import IGNORED_COLOR, LONG_COLOR, ORIGINAL_COLOR, TRAINED_COLOR, draw_steps, scale_axis

# Quantiles of the scales that the first panel marks.
QUANTILES = (0.01, 0.5, 0.99)


def plot_suggestion(suggestion: Suggestion, seen: SeenScales, title: str = '') -> Figure:
    """Draw three panels, one above the other, with one axis of scales.

    Args:
        suggestion: Factors and range.
        seen: All objects as they are seen with them.
        title: Heading.
    """
    num_levels = len(suggestion.levels)
    figure = Figure(figsize=(11, 7.2 + 0.36 * num_levels), dpi=110, layout='constrained', facecolor='white')
    FigureCanvasAgg(figure)
    heights = [3.0, 0.8 + 0.36 * num_levels, 3.0]
    top, middle, bottom = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    if title:
        figure.suptitle(title, weight='bold')
    edges = octave_edges(np.r_[seen.original, seen.seen.ravel()])
    counts = histogram(seen, edges)[1]
    _draw_original(top, edges, counts[:, 0], seen.original)
    _draw_levels(middle, suggestion, edges)
    _draw_seen(bottom, edges, counts, suggestion)
    _finish((top, middle, bottom), edges)
    return figure


def _draw_original(axes: Axes, edges: np.ndarray, counts: np.ndarray, scales: np.ndarray) -> None:
    draw_steps(axes, edges, counts, ORIGINAL_COLOR, f'{len(scales):,} objects')
    for share, scale in zip(QUANTILES, np.quantile(scales, QUANTILES)):
        axes.axvline(scale, color='black', lw=1, ls=':')
        axes.text(scale, 0.98, f' {100 * share:g} %: {scale:.3g} px', transform=axes.get_xaxis_transform(), va='top')
    axes.set_title('The objects, in original px', loc='left')
    axes.set_ylabel('objects')


def _draw_levels(axes: Axes, suggestion: Suggestion, edges: np.ndarray) -> None:
    total = sum(level.megapixels for level in suggestion.levels)
    for i, level in enumerate(suggestion.levels):
        for (lower, upper), height, alpha, label in (
            (level.range_original, 0.72, 0.3, 'in range'),
            (level.comfortable_original, 0.36, 0.95, 'comfortable'),
        ):
            lower, upper = max(lower, edges[0] / 2), min(upper, edges[-1] * 2)
            axes.barh(
                i, upper - lower, height, lower, color=TRAINED_COLOR, alpha=alpha, lw=0, label=None if i else label
            )
        text = f'{level.megapixels:.3g} Mpx ({100 * level.megapixels / total:.3g} %)'
        axes.text(1.01, i, text, transform=axes.get_yaxis_transform(), va='center')
    axes.set_yticks(range(len(suggestion.levels)), [f'x{level.factor:g}' for level in suggestion.levels])
    axes.invert_yaxis()
    axes.set_title('What each level covers, in original px, and its pixels per image', loc='left')
    axes.legend(frameon=False, fontsize=9, loc='lower right', bbox_to_anchor=(1.0, 0.98), ncols=2)


def _draw_seen(axes: Axes, edges: np.ndarray, counts: np.ndarray, suggestion: Suggestion) -> None:
    series = (
        (1, TRAINED_COLOR, 'trained'),
        (2, IGNORED_COLOR, 'ignored, out of range'),
        (3, LONG_COLOR, 'ignored, too long for a chip'),
    )
    for column, color, label in series:
        if counts[:, column].any():
            draw_steps(axes, edges, counts[:, column], color, f'{label} ({int(counts[:, column].sum()):,})')
    bounds = suggestion.scale_range
    for bound in (bounds.lower, bounds.upper):
        if 0 < bound < math.inf:
            axes.axvline(bound, color='black', ls='--', lw=1.6)
            axes.text(bound, 0.98, f' {bound:g} px', transform=axes.get_xaxis_transform(), va='top')
    axes.set_title(f'As the network sees them at {len(suggestion.levels)} levels, in view px', loc='left')
    axes.set_ylabel('objects x levels')
    axes.set_xlabel('sqrt(w h), px')
    axes.legend(frameon=False, fontsize=9)


def _finish(panels: tuple[Axes, ...], edges: np.ndarray) -> None:
    for axes in panels:
        scale_axis(axes, edges)
        axes.tick_params(labelbottom=True)
        axes.grid(axis='x', alpha=0.25)
