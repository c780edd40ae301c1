"""Loading of what scale maps are made of."""

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadMasksOrBoxes(LoadAnnotations):
    """``LoadAnnotations`` of boxes and masks, which takes an object's box where it has no mask.

    mmdet stops at an object without a mask, and ignores one whose polygons have less than three corners.

    Required Keys:

    - height
    - width
    - instances: bbox (xyxy, original pixels), bbox_label, ignore_flag and, where there is one, mask (polygons or a
      run-length code)

    Added Keys:

    - gt_bboxes
    - gt_bboxes_labels
    - gt_ignore_flags
    - gt_masks

    Args:
        **kwargs: ``LoadAnnotations``'s.
    """

    def __init__(self, **kwargs) -> None:
        super().__init__(**{'with_bbox': True, 'with_mask': True, **kwargs})

    def _process_masks(self, results: dict) -> list:
        instances = [
            instance if _has_mask(instance) else {**instance, 'mask': _rectangle(instance['bbox'])}
            for instance in results.get('instances', [])
        ]
        # mmdet writes ignore flags back into what it returns, from the instances that it is given.
        passed = {**results, 'instances': instances}
        masks = super()._process_masks(passed)
        results['gt_ignore_flags'] = passed['gt_ignore_flags']
        return masks


def _has_mask(instance: dict) -> bool:
    mask = instance.get('mask')
    if isinstance(mask, list):
        return any(len(polygon) >= 6 and len(polygon) % 2 == 0 for polygon in mask)
    return bool(mask)


def _rectangle(box_xyxy) -> list[list[float]]:
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    return [[x1, y1, x2, y1, x2, y2, x1, y2]]
