"""Recursion on whole pictures: its factors, its bounds, and that it ends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips.pixel_rules import RegressionRule
from mmisn.chips.rescale import fit_canvas, rescale_recursively, resize_picture


def constant(scale_of):
    """A callable that gives every pixel of a view the scale that ``scale_of`` gives its side."""

    def predict(numbers, chips):
        return [
            np.full(chip.size_wh[::-1], scale_of(n, chip.size_wh[0]), np.float32) for n, chip in zip(numbers, chips)
        ]

    return predict


def test_rescales_until_in_range_by_the_product_of_the_factors():
    # The net sees an eighth of the excess: relative scale s is predicted as s ** (1 / 2).
    paths = rescale_recursively(
        [(64, 64), (16, 16)], constant(lambda n, side: (side / 16) ** 0.5), RegressionRule(upper=1.05)
    )
    # 64 is predicted 2, so 32; 32 predicted sqrt(2), so 22.6; and on; even sides only.
    assert [chip.size_wh[0] for chip in paths[0].chips] == [64, 32, 22, 20, 18, 16]
    assert all(chip.xyxy == (0, 0, 64, 64) for chip in paths[0].chips)
    assert paths[0].ended and paths[0].rescales == 5 and paths[0].factors[-1] is None
    assert paths[0].factors[0] == pytest.approx(0.5)
    assert paths[1].rescales == 0 and paths[1].ended


def test_pictures_go_through_a_level_together():
    calls = []

    def predict(numbers, chips):
        calls.append(list(numbers))
        return constant(lambda n, side: side / 16)(numbers, chips)

    rescale_recursively([(16, 16), (32, 32), (64, 32)], predict, RegressionRule(upper=1.05))
    assert calls == [[0, 1, 2], [1, 2]]


def test_small_pictures_are_enlarged():
    (path,) = rescale_recursively([(8, 8)], constant(lambda n, side: side / 16), RegressionRule(lower=0.99))
    assert [chip.size_wh for chip in path.chips] == [(8, 8), (16, 16)]


@pytest.mark.parametrize(('scale', 'sides'), [(0.98, [28, 30, 32, 34]), (1.06, [28, 26, 24, 22])])
def test_a_factor_that_would_change_nothing_changes_one_step(scale, sides):
    """2 % of 28 px are less than a pixel; sides keep their parity, so that a step is two pixels."""
    rule = RegressionRule(lower=0.99, upper=1.05)
    (path,) = rescale_recursively([(28, 28)], constant(lambda n, s: scale), rule, max_rescales=3)
    assert [chip.size_wh[0] for chip in path.chips] == sides


def test_depth_is_bounded():
    (path,) = rescale_recursively(
        [(512, 512)], constant(lambda n, side: 1.1), RegressionRule(upper=1.05), max_rescales=1
    )
    assert path.rescales == 1 and not path.ended and len(path.factors) == 2
    (path,) = rescale_recursively(
        [(512, 512)], constant(lambda n, side: 1.1), RegressionRule(upper=1.05), max_rescales=0
    )
    assert path.rescales == 0 and not path.ended


def test_sides_are_bounded():
    rule = RegressionRule(lower=0.99, upper=1.05)
    (small,) = rescale_recursively([(28, 28)], constant(lambda n, s: 1000), rule, side_range=(6, 100))
    assert [chip.size_wh[0] for chip in small.chips] == [28, 6] and not small.ended
    (large,) = rescale_recursively([(28, 14)], constant(lambda n, s: 1e-30), rule, side_range=(6, 100))
    assert large.chips[-1].size_wh == (100, 50)


def test_all_background_is_left_as_it_is():
    (path,) = rescale_recursively([(28, 28)], constant(lambda n, s: 0), RegressionRule(lower=0.99, upper=1.05))
    assert path.rescales == 0 and path.ended


def test_swings_end():
    """A net that finds 16 px too large and 8 px too small."""
    rule = RegressionRule(lower=0.99, upper=1.05)
    (path,) = rescale_recursively([(16, 16)], constant(lambda n, s: 2.0 if s == 16 else 0.5), rule)
    assert [chip.size_wh[0] for chip in path.chips] == [16, 8] and not path.ended


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=4))
def test_ends_on_any_maps(seed, sizes_wh):
    rng = np.random.default_rng(seed)

    def predict(numbers, chips):
        return [rng.choice([0, 1e-30, 0.5, 1, 2, 1e30], chip.size_wh[::-1]) for chip in chips]

    rule = RegressionRule(lower=0.99, upper=1.05)
    paths = rescale_recursively(sizes_wh, predict, rule, max_rescales=6, side_range=(2, 60))
    assert all(path.rescales <= 6 and max(chip.size_wh[0] for chip in path.chips) <= 61 for path in paths)
    assert all(len(path.factors) == len(path.chips) for path in paths)


@pytest.mark.parametrize(
    ('predict', 'message'),
    [
        (lambda numbers, chips: [np.full((28, 28), np.nan)], '784 of its 784 values are not'),
        (lambda numbers, chips: [np.ones((28, 27))], 'must have height 28 and width 28'),
        (lambda numbers, chips: [], '0 scale maps for 1 views'),
    ],
)
def test_bad_maps(predict, message):
    with pytest.raises(ValueError, match=message):
        rescale_recursively([(28, 28)], predict, RegressionRule(upper=1.05))


@pytest.mark.parametrize('kwargs', [dict(max_rescales=-1), dict(max_rescales=1.5), dict(side_range=(5, 4))])
def test_bad_bounds(kwargs):
    with pytest.raises(ValueError, match=f'{next(iter(kwargs))} must be'):
        rescale_recursively([(28, 28)], constant(lambda n, s: 1), RegressionRule(upper=1.05), **kwargs)


def test_resize_averages_areas_and_keeps_flat_pictures_flat():
    picture = np.arange(16, dtype=np.uint8).reshape(4, 4) * 10
    np.testing.assert_array_equal(resize_picture(picture, (2, 2)), [[25, 45], [105, 125]])
    np.testing.assert_array_equal(resize_picture(np.full((4, 4), 9, np.uint8), (8, 8)), np.full((8, 8), 9))
    assert resize_picture(np.zeros((4, 4, 3), np.uint8), (2, 6)).shape == (6, 2, 3)


@pytest.mark.parametrize('shape', [(), (3,)])
def test_canvas_pads_and_crops_at_the_centre(shape):
    one = np.ones((2, 2, *shape), np.uint8)
    padded = fit_canvas(one, 6)
    assert padded.shape == (6, 6, *shape) and padded[2:4, 2:4].min() == 1 and padded.sum() == one.sum()
    picture = np.arange(36, dtype=np.uint8).reshape(6, 6)
    np.testing.assert_array_equal(fit_canvas(picture, 2), [[14, 15], [20, 21]])
    # Wider and lower than the canvas: cropped along one axis, padded along the other.
    both = fit_canvas(np.ones((2, 6, *shape), np.uint8), 4)
    assert both[1:3].min() == 1 and both[[0, 3]].max() == 0
