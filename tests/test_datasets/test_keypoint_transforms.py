import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.structures.bbox import HorizontalBoxes

from mmisn.datasets.transforms import CropChip, GenerateChips, LoadKeypoints, MapKeypoints, PackInstanceInputs
from mmisn.structures import Chip

FLIPS = [0, 2, 1]
# Two objects of three keypoints; the second has an unlabelled one.
POINTS = np.array([[[20, 30, 2], [12, 11, 1], [70, 40, 2]], [[45, 45, 2], [0, 0, 0], [50, 50, 1]]], np.float32)
BOXES = [[10, 10, 75, 45], [40, 40, 60, 60]]


def instances(points=POINTS):
    return [
        dict(bbox=box, bbox_label=0, ignore_flag=i, keypoints=p.ravel().tolist())
        for i, (box, p) in enumerate(zip(BOXES, points))
    ]


def sample(boxes=BOXES, points=POINTS, wh=(100, 80), **extras):
    width, height = wh
    rng = np.random.default_rng(0)
    return dict(
        img=rng.integers(0, 255, (height, width, 3), np.uint8),
        img_shape=(height, width),
        ori_shape=(height, width),
        gt_bboxes=HorizontalBoxes(np.array(boxes, np.float32).reshape(-1, 4)),
        gt_bboxes_labels=np.zeros(len(boxes), int),
        gt_ignore_flags=np.arange(len(boxes)) % 2 == 1,
        gt_keypoints=points,
        keypoint_matrix=np.eye(3),
        flip_indices=FLIPS,
        **extras,
    )


def test_load_keypoints():
    results = LoadKeypoints()(dict(instances=instances(), flip_indices=FLIPS))
    assert np.array_equal(results['gt_keypoints'], POINTS)
    assert results['gt_keypoints'].dtype == np.float32
    assert LoadKeypoints()(dict(instances=[], flip_indices=FLIPS))['gt_keypoints'].shape == (0, 3, 3)


def test_load_keypoints_of_another_dataset():
    with pytest.raises(ValueError, match='a.jpg comes without keypoints: LoadKeypoints needs a CocoKeypointDataset'):
        LoadKeypoints()(dict(instances=[dict(bbox=BOXES[0])], flip_indices=FLIPS, img_path='a.jpg'))
    with pytest.raises(ValueError, match='comes without keypoints'):
        LoadKeypoints()(dict(instances=instances()))
    with pytest.raises(ValueError, match='put it before CropChip'):
        LoadKeypoints()(dict(instances=instances(), flip_indices=FLIPS, chip_is_cropped=True))


def test_a_plain_picture_passes_through():
    """``DetInferencer`` leaves LoadKeypoints in the pipeline and gives no annotations."""
    image = np.random.default_rng(0).integers(0, 255, (60, 80, 3), np.uint8)
    info = dict(img=image, img_shape=(60, 80), ori_shape=(60, 80), img_id=0)
    annotations = [dict(type='LoadAnnotations', with_bbox=True)]
    keypoints = [dict(type='LoadKeypoints'), dict(type='MapKeypoints')]
    resize, pack = [dict(type='Resize', scale_factor=0.5)], [dict(type='PackInstanceInputs')]
    packed = Compose(resize + annotations + keypoints + pack)(dict(info))
    expected = Compose(resize + annotations + pack)(dict(info))
    assert np.array_equal(packed['inputs'], expected['inputs'])
    assert packed['data_samples'].metainfo == expected['data_samples'].metainfo
    assert 'keypoints' not in packed['data_samples'].gt_instances
    # A sample of a dataset has annotations, be it none.
    with pytest.raises(ValueError, match='a.jpg comes without keypoints'):
        LoadKeypoints()(dict(instances=[], img_path='a.jpg'))
    with pytest.raises(ValueError, match='a.jpg comes without keypoints'):
        LoadKeypoints()(dict(flip_indices=FLIPS, img_path='a.jpg'))
    with pytest.raises(ValueError, match='a.jpg has no gt_keypoints: put LoadKeypoints before MapKeypoints'):
        MapKeypoints()(dict(instances=[], img_path='a.jpg', img_shape=(60, 80)))


def test_crop_chip_moves_keypoints_and_unlabels_those_outside():
    results = CropChip()(sample(chip=Chip((10, 10, 50, 50), (80, 120))))
    assert results['gt_keypoints'].tolist() == [
        [[20, 60, 2], [4, 3, 1], [0, 0, 0]],
        [[70, 105, 2], [0, 0, 0], [80, 120, 1]],  # on the chip's corner: still in it
    ]
    assert results['gt_keypoints'].dtype == np.float32


def test_crop_chip_flips_keypoints_with_left_and_right_swapped():
    results = CropChip()(sample(chip=Chip((10, 10, 50, 50), (80, 120), True)))
    assert results['gt_keypoints'].tolist() == [
        [[60, 60, 2], [0, 0, 0], [76, 3, 1]],
        [[10, 105, 2], [0, 120, 1], [0, 0, 0]],
    ]


def test_rows_of_keypoints_follow_the_boxes():
    results = CropChip()(sample(chip=Chip((50, 46, 90, 76), (40, 30))))
    assert results['gt_bboxes'].numpy().tolist() == [[0, 0, 10, 14]]
    assert results['gt_keypoints'].tolist() == [[[0, 0, 0], [0, 0, 0], [0, 4, 1]]]
    nothing = CropChip()(sample(chip=Chip((80, 60, 100, 80), (20, 20))))
    assert nothing['gt_keypoints'].shape == (0, 3, 3)


def test_a_flipped_chip_without_flip_indices_is_an_error():
    results = sample(chip=Chip((10, 10, 50, 50), (80, 120), True))
    del results['flip_indices']
    with pytest.raises(
        ValueError, match='a flipped chip needs flip_indices, a permutation of the 3 keypoints, got None'
    ):
        CropChip()(results)


@pytest.mark.parametrize('flip', [False, True])
def test_mmdets_resize_and_flip_move_keypoints_as_a_chip_does(flip):
    points = np.concatenate([POINTS, [[[0, 0, 2], [100, 80, 1], [100.5, 40, 2]]]]).astype(np.float32)
    boxes = [*BOXES, [0, 0, 100, 80]]
    resized = Compose(
        [
            dict(type='Resize', scale=(133, 97), keep_ratio=False),
            dict(type='RandomFlip', prob=float(flip)),
            dict(type='MapKeypoints'),
        ]
    )(sample(boxes, points))
    cropped = CropChip()(sample(boxes, points, chip=Chip.full((100, 80), (133, 97), flip)))
    np.testing.assert_allclose(resized['gt_keypoints'], cropped['gt_keypoints'], atol=1e-3)
    np.testing.assert_allclose(resized['gt_bboxes'].numpy(), cropped['gt_bboxes'].numpy(), atol=1e-3)
    assert np.array_equal(resized['gt_keypoints'][..., 2], cropped['gt_keypoints'][..., 2])
    # The last keypoint is off the image, and nothing else.
    assert (resized['gt_keypoints'][..., 2] > 0).sum() == (points[..., 2] > 0).sum() - 1


def test_snip_views_have_keypoints():
    generator = dict(type='PyramidChips', factors=[2.0], flips=(True,))
    results = CropChip()(GenerateChips(generator)(sample()))
    assert results['gt_keypoints'][0].tolist() == [[160, 60, 2], [60, 80, 2], [176, 22, 1]]


def test_map_keypoints_stands_once_and_without_crop_chip():
    moved = Compose([dict(type='Resize', scale_factor=2.0), dict(type='MapKeypoints'), dict(type='MapKeypoints')])
    assert moved(sample())['gt_keypoints'].tolist() == (POINTS * [2, 2, 1]).tolist()
    with pytest.raises(ValueError, match='leave out MapKeypoints'):
        MapKeypoints()(sample(chip_is_cropped=True))
    fewer = sample(homography_matrix=2 * np.eye(3))
    fewer['gt_bboxes'] = fewer['gt_bboxes'][:1]
    with pytest.raises(ValueError, match='2 rows of keypoints for 1 boxes'):
        MapKeypoints()(fewer)


def test_pack_keypoints():
    packed = PackInstanceInputs()(sample())['data_samples']
    for number, rows in enumerate((packed.gt_instances, packed.ignored_instances)):
        assert rows.keypoints.tolist() == [POINTS[number, :, :2].tolist()]
        assert rows.keypoints_visible.tolist() == [POINTS[number, :, 2].tolist()]
        assert (str(rows.keypoints.dtype), str(rows.keypoints_visible.dtype)) == ('torch.float32', 'torch.uint8')
    assert packed.flip_indices == FLIPS
    empty = PackInstanceInputs()(sample([], np.zeros((0, 3, 3), np.float32)))['data_samples']
    assert empty.gt_instances.keypoints.shape == (0, 3, 2)
    assert empty.gt_instances.keypoints_visible.shape == (0, 3)


def test_packing_keypoints_that_did_not_follow_is_an_error():
    with pytest.raises(ValueError, match='put MapKeypoints after RandomFlip'):
        Compose([dict(type='Resize', scale_factor=2.0), dict(type='PackInstanceInputs')])(sample())
    fewer = sample()
    fewer['gt_keypoints'] = POINTS[:1]
    with pytest.raises(ValueError, match='1 rows of keypoints for 2 boxes'):
        PackInstanceInputs()(fewer)


def test_annotations_loaded_after_resize_stay_in_original_pixels():
    info = dict(sample(), instances=instances())
    for key in ('gt_bboxes', 'gt_bboxes_labels', 'gt_ignore_flags', 'gt_keypoints', 'keypoint_matrix'):
        del info[key]
    steps = [
        dict(type='Resize', scale_factor=0.5),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='LoadKeypoints'),
        dict(type='MapKeypoints'),
        dict(type='PackInstanceInputs'),
    ]
    packed = Compose(steps)(info)['data_samples']
    assert packed.img_shape == (40, 50)
    assert packed.gt_instances.keypoints.tolist() == [POINTS[0, :, :2].tolist()]
