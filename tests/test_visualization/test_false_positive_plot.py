"""The picture of the false positives: its texts, frames and bars against counts that are written down."""

import math

import numpy as np
from matplotlib.patches import Rectangle

from mmisn.evaluation.diagnosis_summary import TestedViews
from mmisn.evaluation.false_positive_summary import FalsePositiveTable
from mmisn.visualization.false_positive_plot import plot_false_positives
from mmisn.visualization.view_diagnosis_plot import RANGE_COLOR

# Octaves 8-16, 16-32 (empty) and 32-64 px, then the totals; per view true, twice, other class, loose, part, background.
TABLE = FalsePositiveTable(
    np.array([8.0, 16, 32, 64]),
    np.array(
        [
            [[7, 200, 0, 50, 900, 0], [0, 0, 0, 0, 0, 0], [1, 0, 0, 3, 0, 2], [8, 200, 0, 53, 900, 2]],
            [[3, 0, 0, 0, 100, 0], [0, 0, 0, 0, 0, 0], [9, 0, 0, 0, 600, 0], [12, 0, 0, 0, 700, 0]],
        ]
    ),
)
VIEWS = TestedViews(('x2', 'x0.5'), np.array([[8.0, 48], [32, math.inf]]), np.array([2.0, 0.5]), np.array([0.4, 0.025]))


def _texts(axes):
    return [t.get_text() for t in axes.texts]


def test_cells():
    figure = plot_false_positives(TABLE, VIEWS, 'title')
    left = figure.axes[0]
    # Row by row from below.
    assert _texts(left) == ['1,150', '100', '0', '0', '5', '600']
    np.testing.assert_array_equal(left.collections[0].get_array(), [[1150, 100], [0, 0], [5, 600]])
    frames = [p for p in left.patches if isinstance(p, Rectangle)]
    assert [p.get_y() for p in frames] == [3, 5]
    assert [t.get_text() for t in left.get_yticklabels()] == ['8', '16', '32', '64']
    assert [t.get_text() for t in left.get_xticklabels()] == ['x2\n0.4 Mpx', 'x0.5\n0.025 Mpx']
    assert 'frame: its range' in left.get_title()
    assert figure.get_suptitle() == 'title'


def test_bars_are_stacked_without_what_is_true():
    right = plot_false_positives(TABLE, VIEWS).axes[1]
    bars = {c.get_label(): [(p.get_x(), p.get_width()) for p in c.patches] for c in right.containers}
    assert bars == {
        'twice': [(0, 200), (0, 0), (0, 0)],
        'other class': [(200, 0), (0, 0), (0, 0)],
        'loose': [(200, 50), (0, 0), (0, 3)],
        'part of a larger object': [(250, 1000), (0, 0), (3, 600)],
        'background': [(1250, 0), (0, 0), (603, 2)],
    }
    assert _texts(right) == [
        '200',
        '1,000',
        '600',
        '1,250 of 1,260 detections',
        '0 of 0 detections',
        '605 of 615 detections',
    ]
    assert right.get_xlim()[1] > 1250


def test_without_ranges_or_detections(tmp_path):
    open_views = TestedViews(VIEWS.names, np.array([[0.0, math.inf]] * 2), VIEWS.factors, VIEWS.megapixels)
    none = FalsePositiveTable(TABLE.edges, np.zeros_like(TABLE.counts))
    figure = plot_false_positives(none, open_views)
    left, right = figure.axes
    assert left.get_title() == 'False positives of each view'
    assert not [p for p in left.patches if isinstance(p, Rectangle)]
    assert _texts(right) == ['0 of 0 detections'] * 3
    figure.savefig(tmp_path / 'none.png')


def test_drawn_frames_are_seen():
    figure = plot_false_positives(TABLE, VIEWS)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].reshape(-1, 3)
    color = [int(RANGE_COLOR[i : i + 2], 16) for i in (1, 3, 5)]
    assert (np.abs(pixels.astype(int) - color).max(axis=1) < 3).sum() > 500
