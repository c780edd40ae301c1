"""Chips against a 3x3 affine matrix in float64, and their inverses."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.structures import Chip, clip_boxes, crop_resample

IMAGE_WH = (200, 150)
SWAP = [0, 2, 1, 4, 3]


@st.composite
def chips(draw, max_size=300, flips=(False, True)):
    x1, y1 = draw(st.integers(0, IMAGE_WH[0] - 1)), draw(st.integers(0, IMAGE_WH[1] - 1))
    x2, y2 = draw(st.integers(x1 + 1, IMAGE_WH[0])), draw(st.integers(y1 + 1, IMAGE_WH[1]))
    size_wh = draw(st.integers(1, max_size)), draw(st.integers(1, max_size))
    return Chip((x1, y1, x2, y2), size_wh, draw(st.sampled_from(flips)))


seeds = st.integers(0, 2**32 - 1)


def affine(chip):
    """Original to view: crop, resample, flip."""
    (x1, y1, x2, y2), (w, h) = chip.xyxy, chip.size_wh
    matrix = np.array([[1, 0, -x1], [0, 1, -y1], [0, 0, 1]], np.float64)
    matrix = np.diag([w / (x2 - x1), h / (y2 - y1), 1]) @ matrix
    return np.array([[-1, 0, w], [0, 1, 0], [0, 0, 1]], np.float64) @ matrix if chip.flip else matrix


def apply(matrix, points):
    flat = points.reshape(-1, 2)
    return (np.concatenate([flat, np.ones((len(flat), 1))], axis=1) @ matrix.T)[:, :2].reshape(points.shape)


def apply_to_boxes(matrix, boxes):
    ends = apply(matrix, boxes.reshape(-1, 2, 2))
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


def random_boxes(seed, num=6):
    rng = np.random.default_rng(seed)
    ends = rng.uniform(-50, 250, (num, 2, 2))
    return np.concatenate([ends.min(axis=1), ends.max(axis=1)], axis=1)


@settings(deadline=None, max_examples=100)
@given(chips(), seeds)
def test_boxes(chip, seed):
    boxes = random_boxes(seed)
    kept = boxes.copy()
    view = chip.boxes_to_view(boxes)
    np.testing.assert_allclose(view, apply_to_boxes(affine(chip), boxes), atol=1e-9)
    np.testing.assert_allclose(chip.boxes_to_image(view), boxes, atol=1e-9)
    np.testing.assert_allclose(
        chip.boxes_to_image(boxes), apply_to_boxes(np.linalg.inv(affine(chip)), boxes), atol=1e-6
    )
    rescaled = view / np.tile(chip.factors, 2)
    np.testing.assert_allclose(chip.rescaled_boxes_to_image(rescaled), boxes, atol=1e-9)
    np.testing.assert_array_equal(boxes, kept)


@settings(deadline=None, max_examples=100)
@given(chips(), seeds)
def test_points(chip, seed):
    points = np.random.default_rng(seed).uniform(-50, 250, (3, 4, 2))
    kept = points.copy()
    view = chip.points_to_view(points)
    np.testing.assert_allclose(view, apply(affine(chip), points), atol=1e-9)
    np.testing.assert_allclose(chip.points_to_image(view), points, atol=1e-9)
    np.testing.assert_array_equal(points, kept)


@settings(deadline=None, max_examples=50)
@given(chips(), seeds)
def test_keypoints(chip, seed):
    """The swapped keypoint takes its partner's place; visibility travels with it."""
    keypoints = np.random.default_rng(seed).uniform(-50, 250, (3, 5, 3))
    kept = keypoints.copy()
    view = chip.keypoints_to_view(keypoints, SWAP)
    order = SWAP if chip.flip else [0, 1, 2, 3, 4]
    np.testing.assert_allclose(view[..., :2], apply(affine(chip), keypoints[..., :2])[:, order], atol=1e-9)
    np.testing.assert_array_equal(view[..., 2], keypoints[:, order, 2])
    np.testing.assert_allclose(chip.keypoints_to_image(view, SWAP), keypoints, atol=1e-9)
    np.testing.assert_array_equal(keypoints, kept)


@settings(deadline=None, max_examples=50)
@given(chips(), seeds, st.sampled_from([torch.float32, torch.float64]))
def test_tensors_as_arrays(chip, seed, dtype):
    boxes = random_boxes(seed)
    points = boxes.reshape(-1, 2, 2)
    tolerance = dict(rtol=1e-4, atol=1e-2) if dtype == torch.float32 else dict(atol=1e-9)
    for name, values, extra in [
        ('boxes_to_view', boxes, ()),
        ('boxes_to_image', boxes, ()),
        ('rescaled_boxes_to_image', boxes, ()),
        ('points_to_view', points, ()),
        ('points_to_image', points, ()),
        ('keypoints_to_view', points, ([1, 0],)),
        ('keypoints_to_image', points, ([1, 0],)),
    ]:
        mapping = getattr(chip, name)
        tensor = mapping(torch.as_tensor(values, dtype=dtype), *extra)
        assert tensor.dtype == dtype
        np.testing.assert_allclose(tensor.numpy(), mapping(values, *extra), **tolerance)
    for name in ('encloses', 'overlaps'):
        tensor = getattr(chip, name)(torch.as_tensor(boxes))
        assert tensor.tolist() == getattr(chip, name)(boxes).tolist()


@pytest.mark.parametrize('kind', ['numpy', 'torch'])
@pytest.mark.parametrize('flip', [False, True])
def test_integers_become_fractions(kind, flip):
    """Annotations hold whole numbers; a factor of 0.25 must not round their images, or itself to 0."""
    chip = Chip((2, 4, 42, 44), (10, 10), flip)
    make = np.array if kind == 'numpy' else torch.tensor
    assert chip.boxes_to_view(make([[3, 5, 12, 8]])).tolist() == (
        [[7.5, 0.25, 9.75, 1]] if flip else [[0.25, 0.25, 2.5, 1]]
    )
    assert chip.boxes_to_image(make([[1, 1, 2, 2]])).tolist() == ([[34, 8, 38, 12]] if flip else [[6, 8, 10, 12]])
    assert chip.points_to_view(make([3, 5])).tolist() == ([9.75, 0.25] if flip else [0.25, 0.25])
    assert chip.keypoints_to_view(make([[[3, 5, 2]]]), [0]).tolist() == (
        [[[9.75, 0.25, 2]]] if flip else [[[0.25, 0.25, 2]]]
    )
    assert clip_boxes(make([[-3, 5, 50, 60]]), (40, 30)).tolist() == [[0, 5, 40, 30]]


@pytest.mark.parametrize('shape', [(0, 4)])
@pytest.mark.parametrize('kind', [np.zeros, torch.zeros])
def test_no_boxes(shape, kind):
    chip = Chip((0, 0, 10, 10), (5, 5), flip=True)
    for mapped in (chip.boxes_to_view(kind(shape)), chip.boxes_to_image(kind(shape))):
        assert tuple(mapped.shape) == shape
    assert tuple(chip.keypoints_to_view(kind((0, 5, 3)), SWAP).shape) == (0, 5, 3)
    assert chip.encloses(kind(shape)).tolist() == []


@pytest.mark.parametrize('indices', [None, [0, 1], [0, 0, 1, 2, 3], [1, 2, 3, 4, 5]])
def test_a_flip_needs_the_swapped_keypoints(indices):
    keypoints = np.zeros((1, 5, 3))
    with pytest.raises(ValueError, match='permutation of the 5 keypoints'):
        Chip((0, 0, 10, 10), (5, 5), flip=True).keypoints_to_view(keypoints, indices)
    Chip((0, 0, 10, 10), (5, 5)).keypoints_to_view(keypoints, indices)  # not needed without a flip


def test_encloses_and_overlaps():
    chip = Chip((10, 20, 30, 40), (80, 80))
    boxes = np.array(
        [
            (10, 20, 30, 40),  # the chip itself
            (9.999, 20, 30, 40),
            (10, 20, 30, 40.001),
            (15, 25, 20, 30),
            (0, 20, 10, 40),  # shares an edge, no area
            (0, 0, 10.5, 20.5),
            (0, 0, 100, 100),
        ]
    )
    assert chip.encloses(boxes).tolist() == [True, False, False, True, False, False, False]
    assert chip.overlaps(boxes).tolist() == [True, True, True, True, False, True, True]


def test_factors():
    chip = Chip((10, 20, 30, 60), (80, 40))
    assert chip.wh == (20, 40) and chip.factors == (4, 1) and chip.factor == 2 and chip.num_pixels == 3200
    assert Chip.full((640, 480)).factor == 1 and Chip.full((640, 480), (320, 240), True).flip
    assert chip.flipped().flip and not chip.flipped().flipped(False).flip
    assert chip.flipped().xyxy == chip.xyxy and chip.flipped().size_wh == chip.size_wh


@pytest.mark.parametrize(
    'xyxy, size_wh, said',
    [
        ((0, 0, 10.5, 10), (5, 5), '10.5'),
        ((0, 0, math.nan, 10), (5, 5), 'nan'),
        ((0, 0, math.inf, 10), (5, 5), 'inf'),
        ((0, 0, 10), (5, 5), r'\(0, 0, 10\)'),
        ((0, 0, 10, 10), (5, 5, 5), r'\(5, 5, 5\)'),
        ((10, 0, 10, 10), (5, 5), r'\(10, 0, 10, 10\)'),
        ((0, 9, 10, 3), (5, 5), r'\(0, 9, 10, 3\)'),
        ((0, 0, 10, 10), (5, 0), r'\(5, 0\)'),
    ],
)
def test_invalid_chips(xyxy, size_wh, said):
    with pytest.raises(ValueError, match=said):
        Chip(xyxy, size_wh)


def test_numbers_of_numpy_are_accepted():
    chip = Chip(np.array([0.0, 1, 10, 10]), np.array([5, 5]), np.bool_(True))
    assert chip == Chip((0, 1, 10, 10), (5, 5), True) and hash(chip) == hash(Chip((0, 1, 10, 10), (5, 5), True))
    assert all(type(v) is int for v in chip.xyxy + chip.size_wh)


@pytest.mark.parametrize(
    'window, factor, expected',
    [
        ((10.2, 20.7, 30.1, 40), 2, Chip((10, 20, 31, 40), (42, 40))),
        ((-5, -5, 20, 300), 0.5, Chip((0, 0, 20, 150), (10, 75))),
        ((3, 3, 4, 4), 0.1, Chip((3, 3, 4, 4), (1, 1))),
    ],
)
def test_from_window(window, factor, expected):
    assert Chip.from_window(window, factor, IMAGE_WH) == expected


@pytest.mark.parametrize('window', [(300, 0, 310, 10), (0, -20, 10, -5), (10, 10, 10, 20)])
def test_a_window_outside_the_image(window):
    with pytest.raises(ValueError, match='x1 < x2'):
        Chip.from_window(window, 1, IMAGE_WH)


@settings(deadline=None, max_examples=100)
@given(chips(), seeds, st.floats(0.3, 3))
def test_a_window_in_a_view_is_a_chip_of_the_original(chip, seed, factor):
    corner = np.random.default_rng(seed).uniform(0, 0.9, 2) * chip.size_wh
    side = np.random.default_rng(seed + 1).uniform(0.05, 1, 2) * (np.array(chip.size_wh) - corner)
    window = np.concatenate([corner, corner + side])
    inner = chip.window(window, factor)
    exact = apply_to_boxes(np.linalg.inv(affine(chip)), window[None])[0]
    inside = np.array(inner.xyxy)
    # Rounded outwards, by less than a pixel, and never beyond the chip.
    assert (inside[:2] <= exact[:2] + 1e-9).all() and (inside[:2] > exact[:2] - 1 - 1e-9).all()
    assert (inside[2:] >= exact[2:] - 1e-9).all() and (inside[2:] < exact[2:] + 1 + 1e-9).all()
    assert chip.encloses(inside[None].astype(float)).all()
    assert inner.flip == chip.flip
    for size, side in zip(inner.size_wh, inner.wh):
        assert abs(size - side * chip.factor * factor) <= 0.5 + 1e-9 or size == 1


@settings(deadline=None, max_examples=60)
@given(chips(flips=(False,)), st.booleans(), seeds)
def test_pixels_of_a_window_are_those_of_its_view(chip, flip, seed):
    """At factor 1 the window of a view, cut from the original, is the same part of the view, mirrored or not."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (IMAGE_WH[1], IMAGE_WH[0], 3), np.uint8)
    parent = Chip(chip.xyxy, chip.wh, flip)
    x1, y1 = (int(rng.integers(0, side)) for side in parent.wh)
    x2, y2 = int(rng.integers(x1 + 1, parent.wh[0] + 1)), int(rng.integers(y1 + 1, parent.wh[1] + 1))
    window = crop_resample(image, parent.window((x1, y1, x2, y2), 1))
    np.testing.assert_array_equal(window, crop_resample(image, parent)[y1:y2, x1:x2])


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), st.booleans(), seeds)
def test_windows_compose(factor, flip, seed):
    """A window of a window, at whole factors: its view shows the same point as mapping there step by step."""
    rng = np.random.default_rng(seed)
    parent = Chip((20, 10, 100, 80), (80 * factor, 70 * factor), flip)
    window = np.array((8, 12, 40, 52)) * factor
    inner = parent.window(window, 2)
    assert inner.size_wh == (64 * factor, 80 * factor)
    points = rng.uniform(0, 150, (5, 2))
    np.testing.assert_allclose(
        inner.points_to_view(points), (parent.points_to_view(points) - window[:2]) * 2, atol=1e-9
    )
    innermost = inner.window((10 * factor, 20 * factor, 30 * factor, 40 * factor), 0.5)
    direct = parent.window(window + np.array((5, 10, -17, -20)) * factor, 1)
    assert innermost == direct
