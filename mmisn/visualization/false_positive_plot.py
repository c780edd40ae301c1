"""A picture of ``false_positive_summary``: which view reports false positives of which scale, and what they are."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from mmisn.evaluation.diagnosis_summary import TestedViews
from mmisn.evaluation.false_positive_summary import FalsePositiveTable
from mmisn.evaluation.false_positives import BACKGROUND, KINDS, LOOSE, OTHER_CLASS, PART, TRUE, TWICE

from .view_diagnosis_plot import draw_ranges, finish_bars, label_cells, two_panels

# Parts of the bars, from the left.
COLORS = {TWICE: '#7b3fa0', OTHER_CLASS: '#1f77b4', LOOSE: '#e8a900', PART: '#d62728', BACKGROUND: '#8a8a8a'}
MEANINGS = {
    TWICE: 'twice',
    OTHER_CLASS: 'other class',
    LOOSE: 'loose',
    PART: 'part of a larger object',
    BACKGROUND: 'background',
}
# A count is written into its part of a bar from this share of the longest bar on.
MIN_WRITTEN = 0.06


def plot_false_positives(table: FalsePositiveTable, views: TestedViews, title: str = '') -> Figure:
    """Draw how many false positives each view reports, by octave of their own scale, beside their kinds.

    Args:
        table: Counts.
        views: What was tested; a frame marks the octaves of a view's range.
        title: Heading.
    """
    figure, left, right = two_panels(len(table.edges) - 1, len(views.names), title)
    _draw_cells(left, table)
    draw_ranges(left, table.edges, views)
    label_cells(left, table.edges, views)
    left.set_ylabel('scale of the detection sqrt(w h), original px')
    ranged = any(lower > 0 or upper < math.inf for lower, upper in views.bounds)
    left.set_title('False positives of each view' + '\n(frame: its range)' * ranged, fontsize=11)
    _draw_bars(right, table)
    right.set_xlabel('false positives')
    right.set_title('Kinds', fontsize=11)
    finish_bars(right)
    return figure


def _draw_cells(axes: Axes, table: FalsePositiveTable) -> None:
    false = table.false[:, :-1].T
    most = max(1, false.max(initial=0))
    axes.pcolormesh(
        np.arange(false.shape[1] + 1),
        np.log2(table.edges),
        false,
        cmap='Reds',
        vmin=0,
        vmax=1.25 * most,
        edgecolors='white',
    )
    for (row, view), count in np.ndenumerate(false):
        color = 'white' if count > 0.6 * most else 'black'
        y = np.log2(table.edges[row]) + 0.5
        axes.text(view + 0.5, y, f'{count:,}', ha='center', va='center', color=color, fontsize=11)


def _draw_bars(axes: Axes, table: FalsePositiveTable) -> None:
    octaves = table.counts[:, :-1].sum(axis=0)
    totals = octaves.sum(axis=1)
    false = totals - octaves[:, TRUE]
    most = max(1, false.max(initial=0))
    centres = np.log2(table.edges[:-1]) + 0.5
    start = np.zeros(len(centres))
    for kind in range(TRUE + 1, len(KINDS)):
        counts = octaves[:, kind]
        # A legend of all kinds: none of a kind is news too.
        axes.barh(centres, counts, 0.8, left=start, color=COLORS[kind], label=MEANINGS[kind])
        for x, y, count in zip(start, centres, counts):
            if count >= MIN_WRITTEN * most:
                axes.text(x + count / 2, y, f'{count:,}', ha='center', va='center', color='white', fontsize=10)
        start = start + counts
    for y, count, total in zip(centres, false, totals):
        axes.text(count + 0.015 * most, y, f'{count:,} of {total:,} detections', va='center', fontsize=10)
    # Room for the text behind the longest bar.
    axes.set_xlim(0, 1.45 * most)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
