import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmdet.structures.mask import PolygonMasks
from pycocotools import mask as mask_utils


def loaded(instances, **options):
    transform = TRANSFORMS.build(dict(type='LoadMasksOrBoxes', **options))
    return transform(dict(instances=instances, height=20, width=30, ori_shape=(20, 30)))


def instance(box, ignore=0, **mask):
    return dict(bbox=box, bbox_label=1, ignore_flag=ignore, **mask)


def rectangle(x1, y1, x2, y2):
    mask = np.zeros((20, 30), np.uint8)
    mask[y1:y2, x1:x2] = 1
    return mask


def test_every_object_has_pixels():
    """A polygon, a run-length code and a crowd's; no mask, an empty one and a polygon of two corners."""
    rle = mask_utils.encode(np.asfortranarray(rectangle(3, 3, 9, 7)))
    crowd = dict(size=[20, 30], counts=[0, 400, 200])
    found = loaded(
        [
            instance([1, 2, 6, 8], mask=[[1, 2, 6, 2, 6, 8, 1, 8]]),
            instance([3, 3, 9, 7], mask=dict(size=rle['size'], counts=rle['counts'].decode())),
            instance([0, 0, 20, 20], ignore=1, mask=crowd),
            instance([10, 4, 14, 12]),
            instance([20, 4, 26, 12], mask=[]),
            instance([2, 15, 5, 18], mask=[[2, 15, 5, 18]]),
        ]
    )
    expected = [
        *((1, 2, 6, 8), (3, 3, 9, 7), (0, 0, 20, 20)),
        *((10, 4, 14, 12), (20, 4, 26, 12), (2, 15, 5, 18)),
    ]
    np.testing.assert_array_equal(found['gt_masks'].masks, [rectangle(*box) for box in expected])
    # mmdet would ignore the one with a broken polygon; only the crowd is.
    assert found['gt_ignore_flags'].tolist() == [False, False, True, False, False, False]
    assert found['gt_bboxes'].tensor.tolist() == [list(map(float, b)) for b in expected]
    assert found['gt_bboxes_labels'].tolist() == [1] * 6


def test_annotations_are_left_as_they_are():
    instances = [instance([10, 4, 14, 12]), instance([2, 15, 5, 18], mask=[[2, 15, 5, 18]])]
    before = [dict(i) for i in instances]
    loaded(instances)
    assert instances == before


@pytest.mark.parametrize('poly2mask', [True, False])
def test_no_objects_and_polygons(poly2mask):
    empty = loaded([], poly2mask=poly2mask)
    assert len(empty['gt_masks']) == 0 and empty['gt_masks'].height == 20 and len(empty['gt_ignore_flags']) == 0
    found = loaded([instance([10, 4, 14, 12])], poly2mask=poly2mask)
    assert isinstance(found['gt_masks'], PolygonMasks) == (not poly2mask)
    assert found['gt_masks'].to_ndarray().sum() == 32
