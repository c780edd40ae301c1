"""Maps on small grids that can be checked by eye, and against loops over pixels."""

import numpy as np
import pytest
import torch
from mmdet.datasets import CocoDataset
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from mmisn.models.scale_nets import (
    IGNORED,
    IGNORED_SCALE,
    ImageObjects,
    ScaleClasses,
    class_map,
    object_map,
    object_masks,
    object_scales,
    relative_scale_map,
)
from mmisn.testing import real_data_root


def sample_of(size_hw, boxes, masks=None, ignored_boxes=(), ignored_masks=None):
    sample = DetDataSample(metainfo=dict(img_shape=size_hw, img_path='a.jpg'))
    for key, b, m in (('gt_instances', boxes, masks), ('ignored_instances', ignored_boxes, ignored_masks)):
        instances = InstanceData(bboxes=torch.tensor(np.reshape(b, (-1, 4)), dtype=torch.float32))
        if m is not None:
            instances.masks = m
        setattr(sample, key, instances)
    return sample


def bitmap(size_hw, *rectangles):
    """Masks that are rectangles of pixels, x1, y1, x2, y2."""
    masks = np.zeros((len(rectangles), *size_hw), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, rectangles):
        mask[y1:y2, x1:x2] = 1
    return BitmapMasks(masks, *size_hw)


def test_masks_and_boxes_of_the_same_rectangles_agree():
    rectangles = [(1, 1, 4, 3), (0, 0, 7, 5), (6, 4, 7, 5)]
    masks = bitmap((5, 7), *rectangles).masks
    np.testing.assert_array_equal(object_masks(rectangles, None, (5, 7)), masks)
    np.testing.assert_array_equal(object_masks(rectangles, masks, (5, 7)), masks)
    assert object_scales(rectangles, masks != 0, 'mask_area').tolist() == [6, 35, 1]
    assert object_scales(rectangles, masks != 0, 'sqrt_box') == pytest.approx(np.sqrt([6, 35, 1]))


@pytest.mark.parametrize(
    'box, pixels',
    [
        ((0.4, 0, 2.6, 1), [(0, 0), (0, 1), (0, 2)]),  # the centres 0.5, 1.5, 2.5
        ((0.5, 0, 1.5, 1), [(0, 0)]),  # half open
        ((1.6, 1.6, 1.7, 1.7), [(1, 1)]),  # thinner than a pixel: the pixel at its centre
        ((3.9, 2.9, 9, 9), [(2, 3)]),  # over the corner
        ((-5, 0, -1, 3), []),  # off the image
        ((2, 2, 2, 2), []),  # no area
    ],
)
def test_pixels_of_a_box(box, pixels):
    found = object_masks([box], None, (3, 4))
    assert [tuple(p) for p in np.argwhere(found[0]).tolist()] == pixels


def test_an_object_without_a_mask_among_others_has_its_box():
    masks = bitmap((4, 4), (0, 0, 1, 1), (0, 0, 0, 0)).masks
    found = object_masks([(0, 0, 3, 3), (2, 2, 4, 4)], masks, (4, 4))
    assert found.sum(axis=(1, 2)).tolist() == [1, 4]
    assert found[1, 2:, 2:].all()


def test_smaller_objects_are_on_top():
    pixels = bitmap((2, 4), (0, 0, 1, 2), (0, 0, 4, 2), (0, 0, 3, 1)).masks != 0
    scales = pixels.sum(axis=(1, 2))
    assert object_map(pixels, scales, np.zeros(3, bool)).tolist() == [[0, 2, 2, 1], [0, 1, 1, 1]]
    # Of equally small ones the last.
    assert object_map(pixels[[0, 0]], scales[[0, 0]], np.zeros(2, bool))[0].tolist() == [1, -1, -1, -1]


def test_ignored_regions_take_part_in_the_order():
    """A small object on a crowd is an object, a small crowd on a large object is ignored."""
    size = (1, 6)
    sample = sample_of(
        size,
        [(0, 0, 1, 1), (0, 0, 6, 1)],
        bitmap(size, (0, 0, 1, 1), (0, 0, 6, 1)),
        [(0, 0, 4, 1)],
        bitmap(size, (0, 0, 4, 1)),
    )
    objects = ImageObjects(sample, 'mask_area')
    assert objects.map.tolist() == [[0, -2, -2, -2, 1, 1]]
    assert objects.scales.tolist() == [1, 6, 4] and objects.ignored.tolist() == [False, False, True]
    classes = ScaleClasses((4,), 'mask_area')
    assert class_map(objects.map, objects.scales, classes).tolist() == [[1, 255, 255, 255, 2, 2]]
    relative = relative_scale_map(objects.map, objects.scales, 'mask_area', 2.0)
    np.testing.assert_array_equal(relative, np.float32([[0.5, -1, -1, -1, 6**0.5 / 2, 6**0.5 / 2]]))
    assert relative.dtype == np.float32 and IGNORED == 255 and IGNORED_SCALE == -1


@pytest.mark.parametrize('kind', ['none', 'empty', 'boxes only'])
def test_without_objects_all_is_background(kind):
    masks = BitmapMasks(np.zeros((0, 3, 5), np.uint8), 3, 5) if kind == 'empty' else None
    objects = ImageObjects(sample_of((3, 5), [], masks), 'sqrt_box')
    labels = class_map(objects.map, objects.scales, ScaleClasses((8,)))
    assert labels.shape == (3, 5) and labels.dtype == np.uint8 and not labels.any()
    assert not relative_scale_map(objects.map, objects.scales, 'sqrt_box', 8.0).any()


def test_map_against_a_loop_over_pixels():
    rng = np.random.default_rng(3)
    pixels = rng.random((12, 17, 23)) < rng.random((12, 1, 1))
    scales, ignored = rng.permutation(12) + 1.0, rng.random(12) < 0.3
    found = object_map(pixels, scales, ignored)
    for y in range(17):
        for x in range(23):
            here = [i for i in range(12) if pixels[i, y, x]]
            top = min(here, key=lambda i: scales[i], default=None)
            assert found[y, x] == (-1 if top is None else -2 if ignored[top] else top)


def test_all_kinds_of_boxes_and_masks_are_read_alike():
    size, boxes = (6, 8), [(1, 1, 5, 4), (4, 2, 8, 6)]
    polygons = [[np.array([x1, y1, x2, y1, x2, y2, x1, y2], float)] for x1, y1, x2, y2 in boxes]
    maps = []
    for masks in (None, bitmap(size, *boxes), PolygonMasks(polygons, *size), torch.tensor(bitmap(size, *boxes).masks)):
        maps.append(ImageObjects(sample_of(size, boxes, masks), 'mask_area').map)
    plain = sample_of(size, boxes).to_dict()
    plain['gt_instances']['bboxes'] = HorizontalBoxes(torch.tensor(boxes, dtype=torch.float32))
    maps.append(ImageObjects(plain, 'mask_area').map)
    for found in maps[1:]:
        np.testing.assert_array_equal(found, maps[0])
    assert maps[0][3].tolist() == [-1, 0, 0, 0, 0, 1, 1, 1]


def test_what_cannot_be_a_map_is_refused_by_name():
    with pytest.raises(ValueError, match=r'a.jpg: 1 objects of an image of 5x3 px need masks of shape \(1, 3, 5\)'):
        ImageObjects(sample_of((3, 5), [(0, 0, 1, 1)], bitmap((3, 4), (0, 0, 1, 1))), 'sqrt_box')
    with pytest.raises(ValueError, match='a.jpg: boxes must be finite'):
        ImageObjects(sample_of((3, 5), [(0, 0, np.nan, 1)]), 'sqrt_box')
    with pytest.raises(ValueError, match='a.jpg: a scale map is made of gt_instances'):
        ImageObjects(DetDataSample(metainfo=dict(img_shape=(3, 5), img_path='a.jpg')), 'sqrt_box')
    with pytest.raises(ValueError, match='measure'):
        ImageObjects(sample_of((3, 5), []), 'area')


def test_real_masks_and_crowds():
    """COCO images at their own size: the areas are pycocotools', and every pixel is the smallest object's there."""
    root = real_data_root()
    if root is None:
        pytest.skip('no folder with real data; see mmisn.testing.real_data_root')
    coco = COCO(root / 'coco_mini/annotations/instances_val.json')
    pipeline = [dict(type='LoadImageFromFile'), dict(type='LoadMasksOrBoxes'), dict(type='PackInstanceInputs')]
    dataset = CocoDataset(
        ann_file=str(root / 'coco_mini/annotations/instances_val.json'),
        data_prefix=dict(img=str(root / 'coco_mini/images')),
        test_mode=True,
        pipeline=pipeline,
    )
    num_crowds = 0
    for index in range(0, 50, 5):
        sample = dataset[index]['data_samples']
        annotations = sorted(coco.imgToAnns[sample.img_id], key=lambda a: a['iscrowd'])
        masks = [coco.annToMask(a).astype(bool) for a in annotations]
        areas = np.array([m.sum() for m in masks])
        objects = ImageObjects(sample, 'mask_area')
        assert objects.scales.tolist() == areas.tolist()
        crowd = np.array([a['iscrowd'] for a in annotations], bool)
        num_crowds += crowd.sum()
        # The area of the smallest object over each pixel, 0 where there is none, -1 for crowds.
        smallest = np.full(sample.img_shape, np.inf)
        is_crowd = np.zeros(sample.img_shape, bool)
        for mask, area, ignored in zip(masks, areas, crowd):
            on_top = mask & (area <= smallest)
            smallest[on_top], is_crowd[on_top] = area, ignored
        expected = np.where(np.isinf(smallest), 0, np.where(is_crowd, -1, np.sqrt(smallest)))
        found = relative_scale_map(objects.map, objects.scales, 'mask_area', 1.0)
        np.testing.assert_array_equal(found, expected.astype(np.float32))
    assert num_crowds > 0
