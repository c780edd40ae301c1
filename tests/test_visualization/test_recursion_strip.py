"""The strip of a recursion: what is drawn where."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mmisn.visualization import RecursionStep, draw_recursion


def test_views_above_maps_below(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(plt, 'close', drawn.append)
    views = [np.full((6, 4), 9, np.uint8), np.zeros((3, 2, 1), np.uint8), np.zeros((3, 2, 3), np.uint8)]
    views[2][..., 0] = 255
    maps = [np.full((6, 4), 1.5), np.zeros((3, 2)), np.ones((3, 2))]
    steps = [RecursionStep(v, m, t, 'a 4') for v, m, t in zip(views, maps, (1.5, None, 1.0))]
    draw_recursion(steps, tmp_path / 'new' / 'strip.png', 'A 9')
    (figure,) = drawn
    monkeypatch.undo()
    axes = figure.axes
    above, below = axes[:3], axes[3:6]
    assert [a.get_title() for a in above] == ['4×6 px\na 4', '2×3 px\na 4', '2×3 px\na 4']
    assert [b.get_xlabel() for b in below] == ['Top-K 1.50', 'no object', 'Top-K 1.00']
    np.testing.assert_array_equal(above[0].images[0].get_array(), views[0])
    # BGR in, RGB drawn.
    assert above[2].images[0].get_array()[0, 0].tolist() == [0, 0, 255]
    assert {b.images[0].get_clim() for b in below} == {(0, 1.5)}
    assert figure.get_suptitle() == 'A 9'
    plt.close(figure)
    assert (tmp_path / 'new' / 'strip.png').is_file()


def test_no_steps(tmp_path):
    with pytest.raises(ValueError, match='at least one step'):
        draw_recursion([], tmp_path / 'x.png')
