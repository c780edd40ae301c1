import cv2
import mmcv
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS

from mmisn.structures import INTERPOLATIONS, Chip, crop_resample, masks_to_view


def random_image(shape=(60, 80, 3), dtype=np.uint8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape).astype(dtype)


@pytest.mark.parametrize('interpolation', sorted(INTERPOLATIONS))
@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('dtype', [np.uint8, np.float32])
def test_crop_is_resized_alone(interpolation, flip, dtype):
    """Equal to cv2 on the crop, which does not know the pixels around it."""
    image = random_image(dtype=dtype)
    chip = Chip((13, 7, 53, 47), (97, 31), flip)
    expected = cv2.resize(image[7:47, 13:53].copy(), (97, 31), interpolation=INTERPOLATIONS[interpolation])
    expected = cv2.flip(expected, 1) if flip else expected
    view = crop_resample(image, chip, interpolation)
    np.testing.assert_array_equal(view, expected)
    assert view.dtype == dtype and view.flags['C_CONTIGUOUS']


@settings(deadline=None, max_examples=200)
@given(
    st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 50), st.integers(1, 40)),
    st.sampled_from([1, 2, 3, 4, 8, 16, 0.5, 1.7]),
    st.integers(1, 200),
    st.sampled_from([(), (1,), (3,), (4,)]),
    st.sampled_from(sorted(INTERPOLATIONS)),
)
def test_a_flip_comes_last(corner_and_sides, factor_x, height, channels, interpolation):
    """However it is computed: the pixels of a flipped chip are those of the chip, mirrored."""
    x, y, w, h = corner_and_sides
    image = random_image((60, 80, *channels))
    chip = Chip((x, y, x + w, y + h), (max(1, round(w * factor_x)), height))
    unflipped = crop_resample(image, chip, interpolation)
    flipped = crop_resample(image, chip.flipped(), interpolation)
    np.testing.assert_array_equal(flipped, unflipped[:, ::-1])
    assert flipped.flags['C_CONTIGUOUS'] and not np.shares_memory(flipped, image)
    np.testing.assert_array_equal(image, random_image((60, 80, *channels)))


@pytest.mark.parametrize('factor', [4.0, 2.0, 1.0, 0.5, 0.25])
@pytest.mark.parametrize('flip', [False, True])
def test_the_full_image_equals_mmdet_resize_and_flip(factor, flip):
    image = random_image((61, 83, 3))
    results = TRANSFORMS.build(dict(type='Resize', scale_factor=factor))(dict(img=image.copy()))
    expected = mmcv.imflip(results['img']) if flip else results['img']
    height, width = expected.shape[:2]
    chip = Chip.full((83, 61), (width, height), flip)
    np.testing.assert_array_equal(crop_resample(image, chip), expected)
    np.testing.assert_allclose(chip.factors, results['scale_factor'])


def test_same_size_copies_the_pixels():
    image = random_image()
    view = crop_resample(image, Chip((5, 6, 25, 36), (20, 30)))
    np.testing.assert_array_equal(view, image[6:36, 5:25])
    view[:] = 0
    np.testing.assert_array_equal(image, random_image())


@pytest.mark.parametrize('shape', [(60, 80), (60, 80, 1), (60, 80, 5)])
@pytest.mark.parametrize('size_wh', [(20, 30), (41, 17)])
def test_channels_are_kept(shape, size_wh):
    image = random_image(shape)
    view = crop_resample(image, Chip((5, 6, 25, 36), size_wh, flip=True))
    assert view.shape == size_wh[::-1] + shape[2:]
    for channel in range(image.reshape(60, 80, -1).shape[2]):
        single = np.ascontiguousarray(image.reshape(60, 80, -1)[6:36, 5:25, channel])
        expected = cv2.resize(single, size_wh)[:, ::-1]
        np.testing.assert_array_equal(view.reshape(*size_wh[::-1], -1)[..., channel], expected)


@pytest.mark.parametrize('xyxy', [(-1, 0, 10, 10), (0, -1, 10, 10), (0, 0, 81, 10), (0, 0, 10, 61)])
def test_a_chip_beyond_the_image(xyxy):
    with pytest.raises(ValueError, match='80x60'):
        crop_resample(random_image(), Chip(xyxy, (10, 10)))
    with pytest.raises(ValueError, match='80x60'):
        masks_to_view(np.zeros((0, 60, 80), np.uint8), Chip(xyxy, (10, 10)))


@settings(deadline=None, max_examples=60)
@given(
    st.tuples(st.integers(0, 30), st.integers(0, 20), st.integers(1, 40), st.integers(1, 30)),
    st.integers(1, 5),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([bool, np.uint8]),
)
def test_masks_at_whole_factors(corner_and_sides, factor_x, factor_y, flip, dtype):
    """Each pixel becomes a block."""
    x, y, w, h = corner_and_sides
    masks = random_image((3, 60, 80)) > 127
    chip = Chip((x, y, x + w, y + h), (w * factor_x, h * factor_y), flip)
    view = masks_to_view(masks.astype(dtype), chip)
    blocks = masks[:, y : y + h, x : x + w].repeat(factor_y, axis=1).repeat(factor_x, axis=2)
    np.testing.assert_array_equal(view, blocks[..., ::-1] if flip else blocks)
    assert view.dtype == dtype


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), st.booleans())
def test_masks_made_smaller_keep_pixels_that_are_half_covered(factor_x, factor_y, flip):
    w, h = 6 * factor_x, 5 * factor_y
    masks = random_image((2, 60, 80)) > 127
    chip = Chip((7, 9, 7 + w, 9 + h), (6, 5), flip)
    blocks = masks[:, 9 : 9 + h, 7 : 7 + w].reshape(2, 5, factor_y, 6, factor_x)
    expected = blocks.sum(axis=(2, 4)) * 2 >= factor_x * factor_y
    np.testing.assert_array_equal(masks_to_view(masks, chip), expected[..., ::-1] if flip else expected)


def test_masks_made_smaller_are_not_shifted():
    """Half of an image at a quarter of its size: mmcv's nearest pixel would leave it up to 3 px too far left."""
    for edge in range(10, 50):
        mask = np.zeros((1, 60, 80), np.uint8)
        mask[..., edge:] = 1
        for flip in (False, True):
            view = masks_to_view(mask, Chip.full((80, 60), (20, 15), flip))
            shown = view[0, 0, ::-1] if flip else view[0, 0]
            assert abs(np.argmax(shown) - edge / 4) <= 0.5


def test_masks_and_boxes_agree():
    """A rectangle drawn as a mask and given as a box lies at the same place of the view."""
    chip = Chip((10, 10, 50, 40), (120, 60), flip=True)
    mask = np.zeros((1, 60, 80), bool)
    mask[0, 15:30, 20:35] = True
    rows, columns = np.nonzero(masks_to_view(mask, chip)[0])
    box = chip.boxes_to_view(np.array([[20.0, 15, 35, 30]]))[0]
    assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == box.tolist() == [45, 10, 90, 40]


def test_no_masks():
    chip = Chip((5, 6, 25, 36), (41, 17))
    none = masks_to_view(np.zeros((0, 60, 80), bool), chip)
    assert none.shape == (0, 17, 41) and none.dtype == bool
