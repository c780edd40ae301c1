"""The picture of a diagnosis: its texts, frames and bars against counts that are written down."""

import math

import numpy as np
from matplotlib.patches import Rectangle

from mmisn.evaluation.diagnosis_summary import OctaveTable, TestedViews
from mmisn.visualization.view_diagnosis_plot import RANGE_COLOR, plot_diagnosis

# Octaves 8-16, 16-32 (empty) and 32-64 px, then the totals; per view found, discarded, missed, out of range.
TABLE = OctaveTable(
    edges=np.array([8.0, 16, 32, 64]),
    rows=np.zeros(0, int),
    objects=np.array([10, 0, 4, 14]),
    views=np.array(
        [
            [[7, 2, 1, 0], [0, 0, 5, 5]],
            [[0, 0, 0, 0], [0, 0, 0, 0]],
            [[1, 0, 0, 3], [4, 0, 0, 0]],
            [[8, 2, 1, 3], [4, 0, 5, 5]],
        ]
    ),
    merged=np.array([[5, 2, 1, 2], [0, 0, 0, 0], [4, 0, 0, 0], [9, 2, 1, 2]]),
    no_range=np.array([1, 0, 0, 1]),
    detector=np.array([1, 0, 0, 1]),
)
VIEWS = TestedViews(('x2', 'x0.5'), np.array([[8.0, 48], [32, math.inf]]), np.array([2.0, 0.5]), np.array([0.4, 0.025]))


def _texts(axes):
    return [t.get_text().strip() for t in axes.texts]


def test_cells_and_frames():
    left, right = plot_diagnosis(TABLE, VIEWS, 'title').axes
    # Row by row from below; nothing stands in the octave without objects.
    assert _texts(left) == ['70', '+20', '0', '25', '100']
    mesh = left.collections[0].get_array()
    assert mesh.mask.tolist() == [[False, False], [True, True], [False, False]]
    np.testing.assert_allclose(mesh[[0, 2]], [[0.7, 0], [0.25, 1]])
    frames = [p for p in left.patches if isinstance(p, Rectangle)]
    assert [p.get_x() for p in frames] == [0.05, 1.05]
    assert frames[0].get_y() == 3
    assert math.isclose(frames[0].get_height(), math.log2(48) - 3)
    # An infinite bound lies beyond the picture.
    assert frames[1].get_y() == 5
    assert frames[1].get_y() + frames[1].get_height() > 6
    assert [t.get_text() for t in left.get_yticklabels()] == ['8', '16', '32', '64']
    assert [t.get_text() for t in left.get_xticklabels()] == ['x2\n0.4 Mpx', 'x0.5\n0.025 Mpx']
    assert 'frame: its range' in left.get_title()


def test_bars():
    right = plot_diagnosis(TABLE, VIEWS).axes[1]
    bars = {c.get_label(): [(p.get_x(), p.get_width()) for p in c.patches] for c in right.containers}
    # Shares of the first and the last octave; together they make 100 %.
    np.testing.assert_allclose(bars['found'], [(0, 50), (0, 0), (0, 100)])
    np.testing.assert_allclose(bars['lost in merging'][0], (50, 20))
    np.testing.assert_allclose(bars['found out of range only'][0], (70, 10))
    np.testing.assert_allclose(bars['found by no view'][0], (80, 10))
    np.testing.assert_allclose(bars["found by no view, in no view's range"][0], (90, 10))
    assert _texts(right)[-4:] == ['10', '0', '4', 'objects']


def test_drawn_frames_are_seen(tmp_path):
    figure = plot_diagnosis(TABLE, VIEWS)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)
    color = [int(RANGE_COLOR[i : i + 2], 16) for i in (1, 3, 5)]
    assert (abs(pixels - color).max(axis=-1) < 12).sum() > 500
    infinite = TestedViews(VIEWS.names, np.array([[0, math.inf]] * 2), VIEWS.factors, VIEWS.megapixels)
    plain = plot_diagnosis(TABLE, infinite)
    assert len(plain.axes[0].patches) == 0
    assert 'frame' not in plain.axes[0].get_title()
