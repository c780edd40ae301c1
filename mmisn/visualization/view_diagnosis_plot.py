"""A picture of ``diagnosis_summary``: which view finds objects of which scale, and what the merge keeps of them."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, NullLocator

from mmisn.evaluation.diagnosis_summary import OctaveTable, TestedViews
from mmisn.evaluation.view_diagnosis import DISCARDED, FOUND, LOST, MERGED, ONLY_DISCARDED, UNSEEN

# Parts of the bars, from the left: label and color.
OUTCOMES = (
    ('found', '#2a9d4a'),
    ('lost in merging', '#7b3fa0'),
    ('found out of range only', '#ff8c00'),
    ('found by no view', '#d62728'),
    ("found by no view, in no view's range", '#8a8a8a'),
)
RANGE_COLOR = '#d6006c'
# Discarded objects below this share of an octave are not written into its cell.
MIN_WRITTEN = 0.005


def plot_diagnosis(table: OctaveTable, views: TestedViews, title: str = '') -> Figure:
    """Draw the share of objects that each view finds, by octave, beside what became of them in the merged result.

    A frame marks the octaves of a view's range; a plus tells what the view sees and discards by its range.

    Args:
        table: Counts.
        views: What was tested.
        title: Heading.
    """
    figure, left, right = two_panels(len(table.edges) - 1, len(views.names), title)
    _draw_cells(left, table, views)
    draw_ranges(left, table.edges, views)
    _draw_outcomes(right, table)
    _finish(left, right, table, views)
    return figure


def two_panels(num_octaves: int, num_views: int, title: str) -> tuple[Figure, Axes, Axes]:
    """A figure with room for a heat table on the left and for bars on the right, one row per octave."""
    width = max(4.0, 0.95 * num_views)
    figure = Figure((width + 7.5, 2.4 + 0.62 * num_octaves), dpi=110, layout='constrained', facecolor='white')
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[width, 5.0])
    if title:
        figure.suptitle(title, weight='bold')
    return figure, left, right


def _draw_cells(axes: Axes, table: OctaveTable, views: TestedViews) -> None:
    objects = table.objects[:-1, None]
    with np.errstate(invalid='ignore', divide='ignore'):
        found = table.views[:-1, :, FOUND] / objects
        discarded = table.views[:-1, :, DISCARDED] / objects
    # Rows without objects stay white.
    shown = np.ma.masked_invalid(found)
    axes.pcolormesh(
        np.arange(len(views.names) + 1),
        np.log2(table.edges),
        shown,
        cmap='Blues',
        vmin=0,
        vmax=1.25,
        edgecolors='white',
    )
    for (row, view), share in np.ndenumerate(found):
        if np.isnan(share):
            continue
        place = (view + 0.5, np.log2(table.edges[row]) + 0.5)
        color = 'white' if share > 0.6 else 'black'
        seen = discarded[row, view] >= MIN_WRITTEN
        axes.text(*place, f'{100 * share:.0f}', ha='right' if seen else 'center', va='center', color=color, fontsize=11)
        if seen:
            extra = f' +{100 * discarded[row, view]:.0f}'
            axes.text(*place, extra, ha='left', va='center', color='#c06000' if share <= 0.6 else '#ffd9a0', fontsize=9)


def draw_ranges(axes: Axes, edges: np.ndarray, views: TestedViews) -> None:
    """Draw a frame around each view's range.

    Args:
        axes: View i is from x = i to i + 1; y is the binary logarithm of the scale.
        edges: Of the octaves shown, original px.
        views: What was tested.
    """
    bottom, top = np.log2(edges[[0, -1]])
    for view, (lower, upper) in enumerate(views.bounds):
        if lower == 0 and upper == math.inf:
            continue
        # A bound beyond the picture is no line in it.
        low = math.log2(lower) if lower > 0 else bottom - 1
        high = math.log2(upper) if upper < math.inf else top + 1
        box = Rectangle((view + 0.05, low), 0.9, high - low, fill=False, ec=RANGE_COLOR, lw=2.2, zorder=3)
        axes.add_patch(box)


def _draw_outcomes(axes: Axes, table: OctaveTable) -> None:
    unseen_in_range = table.detector
    parts = [table.merged[:, s] for s in (MERGED, LOST, ONLY_DISCARDED)]
    parts += [unseen_in_range, table.merged[:, UNSEEN] - unseen_in_range]
    centres = np.log2(table.edges[:-1]) + 0.5
    objects = np.maximum(table.objects[:-1], 1)
    start = np.zeros(len(centres))
    for counts, (label, color) in zip(parts, OUTCOMES):
        shares = 100 * counts[:-1] / objects
        if not counts[:-1].any():
            continue
        axes.barh(centres, shares, 0.8, left=start, color=color, label=label)
        for x, y, share in zip(start, centres, shares):
            if share >= 5:
                axes.text(x + share / 2, y, f'{share:.0f}', ha='center', va='center', color='white', fontsize=10)
        start = start + shares
    for y, number in zip(centres, table.objects[:-1]):
        axes.text(101.5, y, f'{number:,}', ha='left', va='center', fontsize=10)
    axes.text(101.5, np.log2(table.edges[-1]) + 0.08, 'objects', ha='left', va='bottom', fontsize=10)


def _finish(left: Axes, right: Axes, table: OctaveTable, views: TestedViews) -> None:
    label_cells(left, table.edges, views)
    left.set_ylabel('object scale sqrt(w h), original px')
    title = 'Found by each view, % of the objects'
    if any(lower > 0 or upper < math.inf for lower, upper in views.bounds):
        title += '\n(+ seen but discarded, frame: its range)'
    left.set_title(title, fontsize=11)
    right.set_xlim(0, 112)
    right.set_xticks(range(0, 101, 20))
    right.set_xlabel('% of the objects')
    right.set_title('Merged result', fontsize=11)
    finish_bars(right)


def label_cells(axes: Axes, edges: np.ndarray, views: TestedViews) -> None:
    """Label views and octaves of a heat table, placed as in ``draw_ranges``."""
    places = np.log2(edges)
    axes.set_ylim(places[0], places[-1])
    axes.yaxis.set_major_locator(FixedLocator(places.tolist()))
    axes.set_yticklabels([f'{e:.4g}' for e in edges])
    axes.yaxis.set_minor_locator(NullLocator())
    labels = [f'{n}\n{m:.3g} Mpx' for n, m in zip(views.names, views.megapixels)]
    axes.set_xticks(np.arange(len(labels)) + 0.5, labels)
    axes.tick_params(length=0)
    axes.set_xlim(0, len(labels))
    axes.spines[['top', 'right', 'left', 'bottom']].set_visible(False)


def finish_bars(axes: Axes) -> None:
    """Legend below, no frame."""
    axes.tick_params(axis='y', length=0)
    axes.spines[['top', 'right', 'left', 'bottom']].set_visible(False)
    axes.legend(loc='upper center', bbox_to_anchor=(0.45, -0.1), ncols=2, frameon=False, fontsize=9)
