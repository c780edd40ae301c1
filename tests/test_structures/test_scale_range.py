import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.structures import Chip, ScaleRange, scale_gaps, scales_of_boxes

ISN = ScaleRange(16, 560)
BOUNDS = [(15.999999, False), (16, True), (100, True), (560, True), (560.000001, False)]


@pytest.mark.parametrize('scale, inside', BOUNDS)
def test_both_bounds_belong_to_the_range(scale, inside):
    assert bool(ISN.contains(scale)) is inside
    assert ISN.contains(np.array([scale])).tolist() == [inside]
    assert ISN.contains(torch.tensor([scale], dtype=torch.float64)).tolist() == [inside]


@pytest.mark.parametrize('kind', [np.array, torch.tensor])
def test_boxes_are_judged_by_the_root_of_their_area(kind):
    boxes = kind(
        [[0.0, 0, 16, 16], [5, 5, 9, 69], [0, 0, 15, 17], [0, 0, 560, 560], [0, 0, 280, 1120], [0, 0, 561, 560]]
    )
    assert ISN.contains_boxes(boxes).tolist() == [True, True, False, True, True, False]
    np.testing.assert_allclose(scales_of_boxes(boxes).tolist(), [16, 16, 255**0.5, 560, 560, (561 * 560) ** 0.5])


@pytest.mark.parametrize('kind', [np.array, torch.tensor])
def test_inverted_boxes_have_scale_0(kind):
    assert scales_of_boxes(kind([[5.0, 5, 1, 1], [5.0, 0, 1, 9], [3, 3, 3, 3]])).tolist() == [0, 0, 0]
    assert scales_of_boxes(kind([[0.0, 0, 1, 1]])[:0]).tolist() == []


@settings(deadline=None, max_examples=100)
@given(
    st.floats(0, 500),
    st.floats(0.1, 1000),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.integers(0, 2**32 - 1),
)
def test_judging_in_either_frame_is_the_same(lower, width, wh, size_wh, seed):
    """Boxes mapped to the view against the range, boxes against the range mapped to the original; both ways round."""
    chip = Chip.full(wh, size_wh)
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 300, (20, 2))
    boxes = np.concatenate([corners, corners + np.exp(rng.uniform(0, 7, (20, 2)))], axis=1)
    view_boxes = chip.boxes_to_view(boxes)
    in_view = ScaleRange(lower, lower + width)
    scales = np.sqrt((view_boxes[:, 2] - view_boxes[:, 0]) * (view_boxes[:, 3] - view_boxes[:, 1]))
    expected = (scales >= lower) & (scales <= lower + width)
    clear = np.abs(scales[:, None] / np.array([max(lower, 1e-9), lower + width]) - 1).min(axis=1) > 1e-9
    assert in_view.in_view(chip) is in_view
    assert in_view.in_original(chip).frame == 'original'
    assert in_view.in_original(chip).contains_boxes(boxes)[clear].tolist() == expected[clear].tolist()
    original = ScaleRange(lower, lower + width, frame='original')
    assert original.in_original(chip) is original
    same = original.in_view(chip).contains_boxes(view_boxes) == original.contains_boxes(boxes)
    scales = scales_of_boxes(boxes)
    clear = np.abs(scales[:, None] / np.array([max(lower, 1e-9), lower + width]) - 1).min(axis=1) > 1e-9
    assert same[clear].all()
    back = original.in_view(chip).in_original(chip)
    np.testing.assert_allclose((back.lower, back.upper), (original.lower, original.upper), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('factor', [4, 2, 1, 0.5, 0.25])
def test_bounds_at_a_factor_are_exact(factor):
    chip = Chip.full((400, 400), (int(400 * factor), int(400 * factor)))
    original = ISN.in_original(chip)
    assert (original.lower, original.upper) == (16 / factor, 560 / factor)
    masks = ScaleRange(2592, 20736, measure='mask_area').in_original(chip)
    assert (masks.lower, masks.upper) == (2592 / factor**2, 20736 / factor**2)


def test_infinite_upper_bound_stays_infinite():
    chip = Chip.full((100, 100), (30, 30))
    assert ScaleRange(120, frame='original').in_view(chip).upper == math.inf
    assert ScaleRange().is_infinite and not ISN.is_infinite and not ScaleRange(1).is_infinite


def test_mask_area_is_not_judged_by_boxes():
    masks = ScaleRange(10, 100, measure='mask_area')
    assert masks.contains(np.array([9, 10, 100, 101])).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match='mask_area'):
        masks.contains_boxes(np.zeros((1, 4)))


@pytest.mark.parametrize(
    'cfg, expected',
    [
        (ISN, ISN),
        (None, ScaleRange(0, math.inf)),
        ((16, 560), ISN),
        ([120, None], ScaleRange(120, math.inf)),
        (dict(lower=16, upper=560), ISN),
        (dict(lower=32, upper=None, frame='original'), ScaleRange(32, math.inf, frame='original')),
        (dict(upper=900, measure='mask_area'), ScaleRange(0, 900, 'mask_area')),
        ((np.float32(1), np.int64(2)), ScaleRange(1, 2)),
    ],
)
def test_build(cfg, expected):
    assert ScaleRange.build(cfg) == expected


@pytest.mark.parametrize(
    'cfg, said',
    [
        ((560, 16), r'\[560.0, 16.0\]'),
        ((16, 16), r'\[16.0, 16.0\]'),
        ((-1, 16), r'\[-1.0, 16.0\]'),
        ((math.nan, 16), 'nan'),
        ((16, math.nan), 'nan'),
        ((math.inf, math.inf), 'inf'),
        ((None, 16), 'None'),
        (('16', 560), "'16'"),
        ((True, 560), 'True'),
        ((1, 2, 3), r'\(1, 2, 3\)'),
        (16, 'got 16'),
        ('isn', "'isn'"),
        (dict(lower=1, uper=2), 'uper'),
        (dict(lower=1, upper=2, frame='image'), "'image'"),
        (dict(lower=1, upper=2, measure='area'), "'area'"),
    ],
)
def test_build_refuses(cfg, said):
    with pytest.raises(ValueError, match=said):
        ScaleRange.build(cfg)


def original(*bounds):
    return [ScaleRange(lo, hi, frame='original') for lo, hi in bounds]


@pytest.mark.parametrize(
    'bounds, gaps',
    [
        ([], []),
        ([(0, 80)], []),
        ([(0, 80), (32, 150), (120, math.inf)], []),
        ([(0, 80), (80, 150)], []),  # closed bounds join
        ([(120, 500), (0, 80), (90, 100)], [(80, 90), (100, 120)]),
        ([(0, 500), (10, 20), (30, 40)], []),
        ([(0, 500), (10, 20), (600, 700)], [(500, 600)]),
    ],
)
def test_scale_gaps(bounds, gaps):
    assert scale_gaps(original(*bounds)) == gaps


@settings(deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10)), min_size=1, max_size=6))
def test_scale_gaps_against_every_half_pixel(pairs):
    ranges = original(*[(lower, lower + width) for lower, width in pairs])
    gaps = scale_gaps(ranges)
    for scale in np.arange(min(r.lower for r in ranges), max(r.upper for r in ranges), 0.5):
        held = any(r.lower <= scale <= r.upper for r in ranges)
        assert held is not any(above < scale < below for above, below in gaps)


def test_scale_gaps_compares_like_with_like():
    with pytest.raises(ValueError, match='original frame'):
        scale_gaps([ISN])
    with pytest.raises(ValueError, match='different measures'):
        scale_gaps([*original((0, 1)), ScaleRange(0, 1, 'mask_area', 'original')])


def test_text():
    assert str(ISN) == '[16, 560] px (sqrt_box, view)'
    assert str(ScaleRange(2592, measure='mask_area', frame='original')) == '[2592, inf] px^2 (mask_area, original)'


@pytest.mark.parametrize(
    ('scale_range', 'expected'),
    [
        (ScaleRange(16, 560), ScaleRange(4, 140, frame='original')),
        (ScaleRange(0), ScaleRange(0, frame='original')),
        (ScaleRange(256, 1024, 'mask_area'), ScaleRange(16, 64, 'mask_area', 'original')),
        (ScaleRange(40, 160, frame='original'), ScaleRange(40, 160, frame='original')),
    ],
)
def test_in_original_at_a_factor(scale_range, expected):
    assert scale_range.in_original_at(4.0) == expected
