from mmdet.models.dense_heads import RetinaHead
from mmdet.registry import MODELS

from .scale_range_mixin import ScaleRangeFilterMixin


@MODELS.register_module()
class ScaleRangeRetinaHead(ScaleRangeFilterMixin, RetinaHead):
    """RetinaNet's head whose detections lie in the range of their view, filtered before ``nms_pre`` and NMS.

    In training the head makes no boxes; there the range acts through ``ScaleRangeAssigner``. See
    ``ScaleRangeFilterMixin``.

    Args:
        *args: Arguments of ``RetinaHead``.
        filter_in_test: Whether to filter in testing.
        **kwargs: Arguments of ``RetinaHead``.
    """
