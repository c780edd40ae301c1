from collections.abc import Sequence

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
