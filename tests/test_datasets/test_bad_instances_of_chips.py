"""Bad masks and keypoints where training meets them: in a ``ChipDataset``, an error or a count in its log."""

import json

import numpy as np
import pytest

from mmisn.datasets import ChipDataset, chip_dataset, coco_keypoint_dataset
from mmisn.datasets.annotation_check import NO_MASK, NO_POLYGON, SHORT_POLYGON
from mmisn.datasets.keypoint_annotations import NO_KEYPOINTS, OFF_BOX, OFF_IMAGE

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    dict(type='LoadKeypoints'),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
TRIANGLE = [10, 10, 50, 10, 50, 50]
BOX = [10, 10, 40, 40]
POINTS = dict(keypoints=[12, 13, 2, 30, 31, 1, 0, 0, 0], num_keypoints=2)


@pytest.fixture
def chips(coco_folder, inner_cfg, monkeypatch):
    """Function (extras of each bird) -> data set of chips of one image, and what it logs."""

    def make(*birds):
        folder = coco_folder([(100, 80)], [(0, 2, BOX, {'segmentation': [TRIANGLE], **POINTS, **b}) for b in birds])
        path = folder / 'annotations.json'
        content = json.loads(path.read_text())
        content['categories'][2].update(keypoints=['beak', 'left_wing', 'right_wing'])
        path.write_text(json.dumps(content))
        info = dict(classes=('ship', 'car', 'bird'), sigmas=[0.1] * 3)
        inner = inner_cfg(folder, type='CocoKeypointDataset', metainfo=info)
        generator = dict(type='CoverChips', factors=(1.0,), scale_range=(1, 500), chip_size=128)
        lines = []
        for module in (chip_dataset, coco_keypoint_dataset):
            monkeypatch.setattr(module, 'print_log', lambda text, *args, **kwargs: lines.append(text))
        made = ChipDataset(inner, generator, PIPELINE, cache_dir='', flip_prob=0, num_procs=1)
        made.full_init()
        return made, lines

    return make


def test_short_polygons_are_counted_and_their_objects_trained_without(chips):
    made, lines = chips({}, dict(segmentation=[TRIANGLE, TRIANGLE[:4]]), dict(segmentation=[TRIANGLE[:4]]))
    assert sum(f': 1 {SHORT_POLYGON}' in line for line in lines) == 1
    assert sum(f': 1 {NO_POLYGON}' in line for line in lines) == 1
    sample = made[0]['data_samples']
    # The first two have the same mask; the third has none and is an ignored region, as the log says.
    masks = sample.gt_instances.masks.to_ndarray()
    assert len(masks) == 2 and np.array_equal(*masks) and masks[0].any()
    assert len(sample.ignored_instances) == 1


@pytest.mark.parametrize('mask', [[], None])
def test_objects_without_a_mask_are_counted_and_ignored(chips, mask):
    made, lines = chips({}, dict(segmentation=mask), dict(segmentation=dict(size=[80, 100], counts=[1000, 9, 6991])))
    assert sum(line.endswith(f'annotations.json: 1 {NO_MASK}') for line in lines) == 1
    # No chip is planned for what is ignored.
    assert made.plan.totals[0] == 2
    sample = made[0]['data_samples']
    assert len(sample.gt_instances) == len(sample.gt_instances.masks) == 2 and len(sample.ignored_instances) == 1
    assert sample.gt_instances.masks.to_ndarray().sum(axis=(1, 2)).all()


def test_objects_without_keypoints_and_stray_keypoints_are_counted(chips):
    none = dict(keypoints=[0] * 9, num_keypoints=0)
    stray = dict(keypoints=[12, 13, 2, 60, 31, 1, 200, 20, 2], num_keypoints=3)
    made, lines = chips(none, stray, {}, dict(none, iscrowd=1, segmentation=dict(size=[80, 100], counts=[0, 8000])))
    for number, what in ((1, NO_KEYPOINTS), (1, OFF_BOX), (1, OFF_IMAGE)):
        assert sum(line.endswith(f'annotations.json: {number} {what}') for line in lines) == 1
    objects = made[0]['data_samples'].gt_instances
    # All three birds are trained on; what is off the image is not labelled.
    assert objects.keypoints_visible.tolist() == [[0, 0, 0], [2, 1, 0], [2, 1, 0]]
    assert not objects.keypoints[0].any() and objects.keypoints[1, 2].tolist() == [0, 0]


@pytest.mark.parametrize(
    ('bird', 'match'),
    [
        (
            dict(segmentation=dict(size=[100, 80], counts=[0, 8000])),
            r'run-length mask of size \[100, 80\], its image is',
        ),
        (dict(segmentation=[[10, 10, 50, 10, 50, float('nan')]]), 'mask polygon .* must be finite'),
        (dict(keypoints=[float('nan'), 13, 2] + [0] * 6, num_keypoints=1), r'keypoint 0 \[nan, 13, 2\]; its three'),
        (dict(keypoints=[12, 13, 4] + [0] * 6, num_keypoints=1), r'keypoint 0 \[12, 13, 4\]; its visibility must be'),
        (dict(keypoints=[12, 13, 2, 1], num_keypoints=1), 'keypoints of length 4; 3 keypoints of x, y, visibility'),
    ],
)
def test_errors_name_file_and_annotation(chips, bird, match):
    with pytest.raises(ValueError, match=f'annotations.json: annotation 2 has .*{match}'):
        chips({}, bird)
