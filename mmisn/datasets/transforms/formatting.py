from collections.abc import Sequence

import cv2
import numpy as np
import torch
from mmdet.datasets.transforms import PackDetInputs
from mmdet.registry import TRANSFORMS

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
)


@TRANSFORMS.register_module()
class PackInstanceInputs(PackDetInputs):
    """``PackDetInputs`` whose meta information includes the view: its chip and its scale range.

    The range-aware heads and the merging of views read ``chip`` and ``scale_range`` from there.

    Required Keys:

    - img and whatever ``PackDetInputs`` packs

    Added Keys:

    - inputs (Tensor, (C, h, w))
    - data_samples (DetDataSample): in- and out-of-range objects are in ``gt_instances`` and ``ignored_instances``
    """

    def __init__(self, meta_keys: Sequence[str] = META_KEYS) -> None:
        super().__init__(meta_keys=tuple(meta_keys))

    def transform(self, results: dict) -> dict:
        """Pack; see ``PackDetInputs``."""
        image = results.get('img')
        if image is None or image.ndim != 3 or image.dtype != np.uint8:
            return super().transform(results)
        packed = super().transform({k: v for k, v in results.items() if k != 'img'})
        # cv2.split writes the channels apart in a tenth of the time that torch takes to permute and copy.
        planes = np.empty((image.shape[2], *image.shape[:2]), np.uint8)
        cv2.split(image, list(planes))
        return {'inputs': torch.from_numpy(planes), **packed}
