import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.datasets.transforms import Resize
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmisn.datasets.transforms import CropChip, FilterByScale, GenerateChips, PackInstanceInputs
from mmisn.structures import Chip, ScaleRange


def sample(boxes, wh=(100, 80), **extras):
    width, height = wh
    image = np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8)
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    return dict(
        img=image,
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=HorizontalBoxes(boxes),
        gt_bboxes_labels=np.arange(len(boxes)),
        gt_ignore_flags=np.zeros(len(boxes), bool),
        **extras,
    )


def test_crop_chip_boxes_and_flags():
    boxes = [
        [20, 20, 40, 40],  # enclosed
        [10, 10, 50, 50],  # exactly the chip: enclosed
        [0, 0, 20, 20],  # partly shown
        [50, 10, 60, 20],  # touches the edge, shares no area
        [60, 60, 70, 70],  # far away
    ]
    results = CropChip()(sample(boxes, chip=Chip((10, 10, 50, 50), (80, 120))))
    assert results['gt_bboxes_labels'].tolist() == [0, 1, 2]
    assert results['gt_bboxes'].numpy().tolist() == [[20, 30, 60, 90], [0, 0, 80, 120], [0, 0, 20, 30]]
    assert results['gt_ignore_flags'].tolist() == [False, False, True]
    assert results['img_shape'] == (120, 80)
    assert results['scale_factor'] == (2.0, 3.0)


@pytest.mark.parametrize('flip', [False, True])
def test_crop_chip_pixels(flip):
    results = sample([])
    image = results['img']
    results['chip'] = Chip((10, 5, 60, 45), (100, 80), flip)
    expected = cv2.resize(image[5:45, 10:60], (100, 80), interpolation=cv2.INTER_LINEAR)
    expected = expected[:, ::-1] if flip else expected
    results = CropChip()(results)
    assert np.array_equal(results['img'], expected)
    assert (results['flip'], results['flip_direction']) == (flip, 'horizontal' if flip else None)
    assert results['gt_bboxes'].shape == (0, 4)


def test_crop_chip_of_the_whole_image_is_mmdet_resize():
    boxes = [[3, 4, 50.5, 60.25]]
    ours = CropChip()(sample(boxes, chip=Chip.full((100, 80), (160, 128))))
    theirs = Resize(scale=(160, 128), keep_ratio=False)(sample(boxes))
    assert np.array_equal(ours['img'], theirs['img'])
    assert torch.allclose(ours['gt_bboxes'].tensor, theirs['gt_bboxes'].tensor, atol=1e-5)
    assert ours['scale_factor'] == theirs['scale_factor']


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('kind', ['bitmap', 'polygon'])
def test_crop_chip_masks_follow_the_pixels(kind, flip):
    """An object drawn into the image and its mask are cut alike."""
    polygon = np.array([20, 20, 60, 25, 55, 70, 25, 60], float)
    canvas = np.zeros((80, 100), np.uint8)
    cv2.fillPoly(canvas, [polygon.reshape(-1, 2).astype(np.int32)], 1)
    masks = PolygonMasks([[polygon]], 80, 100) if kind == 'polygon' else BitmapMasks(canvas[None], 80, 100)
    results = sample([[20, 20, 60, 70]], gt_masks=masks)
    results['img'] = np.repeat(canvas[..., None] * 255, 3, 2)
    results['chip'] = Chip((15, 10, 50, 75), (140, 260), flip)
    results = CropChip()(results)
    mask = results['gt_masks'].to_ndarray()[0].astype(bool)
    drawn = results['img'][..., 0] > 127
    assert mask.shape == (260, 140)
    iou = (mask & drawn).sum() / (mask | drawn).sum()
    assert iou > 0.95, iou


def test_crop_chip_without_objects_of_a_test_pipeline():
    results = dict(img=np.zeros((80, 100, 3), np.uint8), ori_shape=(80, 100), chip=Chip.full((100, 80), (50, 40)))
    assert CropChip()(results)['img'].shape == (40, 50, 3)


def test_crop_chip_refuses_another_image_size():
    results = sample([], chip=Chip.full((100, 80)), width=100, height=99, img_path='a.jpg')
    with pytest.raises(ValueError, match='a.jpg is 100x80 px, but its annotation says 100x99'):
        CropChip()(results)


def test_filter_judges_whole_objects_in_view_pixels_with_closed_bounds():
    # A chip at factor 4: the range [16, 40] is [4, 10] in the original.
    boxes = [
        [0, 0, 4, 4],  # scale exactly 16 in the view
        [0, 0, 10, 10],  # exactly 40
        [0, 0, 3.99, 4],
        [0, 0, 10.01, 10],
        [15, 15, 55, 55],  # shown as 20x20 view px only, but 160 px as a whole
    ]
    results = sample(boxes, chip=Chip((0, 0, 20, 20), (80, 80)), scale_range=(16, 40))
    results = CropChip()(FilterByScale()(results))
    assert results['gt_ignore_flags'].tolist() == [False, False, True, True, True]
    assert results['scale_range'] == (16, 40)


def test_filter_clips_boxes_to_the_image_first():
    results = sample([[-30, 10, 10, 20]], chip=Chip.full((100, 80)), scale_range=(5, 11))
    assert FilterByScale()(results)['gt_ignore_flags'].tolist() == [False]  # 10 x 10, not 40 x 10


def test_filter_keeps_crowds_ignored():
    results = sample([[0, 0, 20, 20]], chip=Chip.full((100, 80)), scale_range=(5, 50))
    results['gt_ignore_flags'][:] = True
    assert FilterByScale()(results)['gt_ignore_flags'].tolist() == [True]


def test_filter_on_whole_images_after_resize():
    results = Resize(scale=(200, 160), keep_ratio=True)(sample([[0, 0, 8, 8], [0, 0, 7.9, 8], [0, 0, 90, 80]]))
    view = FilterByScale(scale_range=(16, 100))(results)
    assert view['gt_ignore_flags'].tolist() == [False, True, True]
    original = dict(frame='original', lower=8, upper=50)
    results = Resize(scale=(200, 160), keep_ratio=True)(sample([[0, 0, 8, 8], [0, 0, 7.9, 8], [0, 0, 90, 80]]))
    snip = FilterByScale(scale_range=original)(results)
    assert snip['gt_ignore_flags'].tolist() == [False, True, True]
    assert snip['scale_range'] == (16, 100)


def test_filter_errors():
    with pytest.raises(ValueError, match='before CropChip'):
        FilterByScale()(CropChip()(sample([], chip=Chip.full((100, 80)), scale_range=(1, 2))))
    with pytest.raises(ValueError, match='has no scale_range'):
        FilterByScale()(sample([]))
    with pytest.raises(ValueError, match='lower < upper'):
        FilterByScale(scale_range=(9, 3))


def test_generate_chips_draws_from_the_plan():
    generator = dict(type='CoverChips', factors=[2.0, 1.0], scale_range=(8, 64), chip_size=64)
    transform = GenerateChips(generator, flip_prob=0.5)
    boxes = [[5, 5, 25, 25], [60, 40, 90, 70]]
    seen = set()
    for seed in range(40):
        np.random.seed(seed)
        results = transform(sample(boxes))
        chip = results['chip']
        seen.add((chip.size_wh, chip.flip))
        in_range = ScaleRange.build(results['scale_range']).in_original(chip)
        array = np.array(boxes, float)
        assert (chip.encloses(array) & in_range.contains_boxes(array)).any()
    assert {flip for _, flip in seen} == {False, True}
    np.random.seed(3)
    first = transform(sample(boxes))['chip']
    np.random.seed(3)
    assert transform(sample(boxes))['chip'] == first


def test_generate_chips_counts_what_no_chip_holds():
    generator = dict(type='CoverChips', factors=[1.0], scale_range=(8, 64), chip_size=64)
    transform = GenerateChips(generator)
    # Scale 40, but 80 px long: in range, and longer than a chip. The other one is in range and fits.
    long_one, other = [10, 20, 90, 40], [10, 50, 30, 70]
    assert transform(sample([long_one, other])) is not None
    assert transform(sample([long_one])) is None
    assert transform(sample([])) is None
    assert (transform.num_objects_lost, transform.num_images_skipped) == (2, 2)


def test_generate_chips_of_a_test_view_is_fixed():
    transform = GenerateChips(dict(type='PyramidChips', factors=[0.5], flips=[True]))
    results = transform(dict(ori_shape=(80, 100)))
    assert results['chip'] == Chip((0, 0, 100, 80), (50, 40), True)


def snip(flip_prob):
    """A whole image at one of two sizes: objects up to 20 px at factor 2, from 15 px on at factor 1."""
    ranges = [dict(upper=20, frame='original'), dict(lower=15, upper=None, frame='original')]
    generator = dict(type='PyramidChips', factors=[2.0, 1.0], scale_range=ranges)
    return GenerateChips(generator, flip_prob=flip_prob)


def test_snip_trains_whole_images_at_a_random_level():
    boxes = [[5, 5, 15, 15], [30, 10, 48, 28], [20, 20, 80, 70]]  # 10, 18 and 54.8 px
    valid = {(200, 160): [0, 1], (100, 80): [1, 2]}
    seen = []
    for seed in range(60):
        np.random.seed(seed)
        results = CropChip()(FilterByScale()(snip(0.5)(sample(boxes))))
        chip = results['chip']
        assert chip == Chip.full((100, 80), chip.size_wh, chip.flip)
        assert results['img_shape'] == chip.size_wh[::-1]
        assert np.flatnonzero(~results['gt_ignore_flags']).tolist() == valid[chip.size_wh]
        assert results['scale_range'] == ((0, 40) if chip.size_wh == (200, 160) else (15, np.inf))
        seen.append((chip.size_wh, chip.flip))
    assert set(seen) == {(size, flip) for size in valid for flip in (False, True)}
    assert 20 <= sum(size == (200, 160) for size, _ in seen) <= 40
    np.random.seed(7)
    first = snip(0.5)(sample(boxes))['chip']
    np.random.seed(7)
    assert snip(0.5)(sample(boxes))['chip'] == first


@pytest.mark.parametrize('flip_prob, expected', [(0.0, {False}), (1.0, {True})])
def test_training_chips_are_flipped_as_often_as_asked(flip_prob, expected):
    transform = GenerateChips(dict(type='PyramidChips', factors=[1.0], scale_range=(1, 100)), flip_prob=flip_prob)
    assert {transform(sample([[5, 5, 15, 15]]))['chip'].flip for _ in range(5)} == expected
    assert transform(sample([])) is None and transform.num_images_skipped == 1


def test_packed_sample_carries_the_view():
    results = sample([[0, 0, 20, 20], [0, 0, 60, 60]], chip=Chip((0, 0, 40, 40), (40, 40)), scale_range=(1, 30))
    results.update(img_id=7, img_path='a.jpg')
    packed = Compose([FilterByScale(), CropChip(), PackInstanceInputs()])(results)
    data_sample = packed['data_samples']
    assert packed['inputs'].shape == (3, 40, 40)
    assert data_sample.chip == Chip((0, 0, 40, 40), (40, 40))
    assert data_sample.scale_range == (1, 30)
    assert data_sample.ori_shape == (80, 100)
    assert data_sample.gt_instances.labels.tolist() == [0]
    assert data_sample.ignored_instances.labels.tolist() == [1]


def test_packing_equals_mmdet_pixel_by_pixel():
    from mmdet.datasets.transforms import PackDetInputs

    for channels in (1, 3, 4):
        image = np.random.default_rng(channels).integers(0, 255, (7, 9, channels), np.uint8)
        ours, theirs = (p(dict(img=image)) for p in (PackInstanceInputs(), PackDetInputs(meta_keys=())))
        assert torch.equal(ours['inputs'], theirs['inputs'])
        assert ours.keys() == theirs.keys()
    floats = np.random.default_rng(0).random((7, 9, 3), np.float32)
    assert torch.equal(PackInstanceInputs()(dict(img=floats))['inputs'], torch.from_numpy(floats).permute(2, 0, 1))
