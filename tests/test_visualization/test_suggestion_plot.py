"""The picture of a suggestion: its bars and curves against the numbers that it shows."""

import numpy as np
import pytest
from matplotlib.patches import Rectangle, StepPatch

from mmisn.chips.suggest import suggest
from mmisn.visualization import ScaleRule, see_scales
from mmisn.visualization.suggestion_plot import plot_suggestion


@pytest.fixture(scope='module')
def drawn():
    sides = np.array([5.0, 10, 20, 40, 80, 160, 320])
    boxes = np.stack([np.zeros(7), np.zeros(7), sides, sides], axis=1)
    suggestion = suggest(sides, [(640, 480)], factors=[2, 0.5], coverage=0.8)
    rule = ScaleRule.build('', [2.0, 0.5], suggestion.scale_range, 576)
    seen = see_scales([((640, 480), boxes)], rule)
    return suggestion, seen, plot_suggestion(suggestion, seen, 'title')


def test_levels(drawn):
    suggestion, _, figure = drawn
    assert (suggestion.scale_range.lower, suggestion.scale_range.upper) == (16, 560)
    middle = figure.axes[1]
    bars = [(p.get_x(), p.get_x() + p.get_width(), p.get_y()) for p in middle.patches if isinstance(p, Rectangle)]
    # Range and what is comfortable; the axis starts at 2.5 px and ends at 640 px.
    np.testing.assert_allclose([b[:2] for b in bars], [(8, 280), (16, 80), (32, 1120), (64, 320)])
    assert [t.get_text() for t in middle.get_yticklabels()] == ['x2', 'x0.5']
    # 1280x960 and 320x240 px.
    assert [t.get_text() for t in middle.texts] == ['1.23 Mpx (94.1 %)', '0.0768 Mpx (5.88 %)']


def test_curves(drawn):
    _, seen, figure = drawn
    top, _, bottom = figure.axes
    edges = np.array([2.0**e for e in range(1, 11)])

    def counts(axes, label):
        curve = next(p for p in axes.patches if isinstance(p, StepPatch) and p.get_label().startswith(label))
        values, sides, _ = curve.get_data()
        # Quarters of octaves, summed to octaves.
        return [int(values[(sides[:-1] >= a) & (sides[:-1] < b)].sum()) for a, b in zip(edges, edges[1:])]

    assert counts(top, '7 objects') == [0, 1, 1, 1, 1, 1, 1, 1, 0]
    # At x2 10 to 640 px, at x0.5 2.5 to 160 px; in range from 16 to 560 px.
    assert counts(bottom, 'trained (9)') == [0, 0, 0, 2, 2, 2, 2, 1, 0]
    assert counts(bottom, 'ignored, out of range (5)') == [1, 1, 2, 0, 0, 0, 0, 0, 1]
    lines = [line.get_xdata()[0] for line in bottom.lines]
    assert lines == [16, 560]
    quantiles = [line.get_xdata()[0] for line in top.lines]
    np.testing.assert_allclose(quantiles, np.quantile(seen.original, [0.01, 0.5, 0.99]))


def test_it_can_be_drawn(drawn):
    figure = drawn[2]
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())
    assert pixels.shape[0] > 800
    assert (pixels == pixels[0, 0]).all(axis=-1).mean() < 0.95
