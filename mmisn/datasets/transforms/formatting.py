from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS

from .keypoints import matrix_of

META_KEYS = (
    'img_id',
    'img_path',
    'ori_shape',
    'img_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'chip',
    'scale_range',
    'flip_indices',
    'gts_in_original',
)


@TRANSFORMS.register_module()
class PackInstanceInputs(PackDetInputs):
    """``PackDetInputs`` whose meta information includes the view: its chip and its scale range.

    The range-aware heads and the merging of views read ``chip`` and ``scale_range`` from there, ``flip_indices`` of
    keypoints, and ``gts_in_original``, whether ground truth is in original pixels. Keypoints are packed beside boxes
    and masks.

    Required Keys:

    - img and whatever ``PackDetInputs`` packs
    - gt_keypoints (optional): (N, K, 3) as ``LoadKeypoints`` loads and ``CropChip`` or ``MapKeypoints`` map them

    Added Keys:

    - inputs (Tensor, (C, h, w))
    - data_samples (DetDataSample): in- and out-of-range objects are in ``gt_instances`` and ``ignored_instances``, both
      with ``keypoints`` (N, K, 2) float32 in view pixels and ``keypoints_visible`` (N, K) uint8: 0, 1 or 2

    Raises:
        ValueError: If there are not as many rows of keypoints as boxes, or they have not moved with the image.
    """

    mapping_table = dict(
        PackDetInputs.mapping_table, gt_keypoints_xy='keypoints', gt_keypoints_visible='keypoints_visible'
    )

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Pack; see ``PackDetInputs``."""
        if 'gt_keypoints' in results:
            results = {**results, **_split_keypoints(results)}
        image = results.get('img')
        if image is None or image.ndim != 3 or image.dtype != np.uint8:
            return super().transform(results)
        packed = super().transform({k: v for k, v in results.items() if k != 'img'})
        # cv2.split writes the channels apart in a tenth of the time that torch takes to permute and copy.
        planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))
        return {'inputs': torch.from_numpy(planes), **packed}


def _split_keypoints(results: dict) -> dict:
    keypoints = results['gt_keypoints']
    if 'gt_bboxes' in results and len(results['gt_bboxes']) != len(keypoints):
        raise ValueError(
            f'{len(keypoints)} rows of keypoints for {len(results["gt_bboxes"])} boxes: a transform left out boxes, '
            'but not their keypoints'
        )
    if not np.array_equal(results.get('keypoint_matrix', matrix_of(results)), matrix_of(results)):
        raise ValueError('the image was resized or flipped without its keypoints: put MapKeypoints after RandomFlip')
    return dict(gt_keypoints_xy=keypoints[..., :2], gt_keypoints_visible=keypoints[..., 2].astype(np.uint8))
