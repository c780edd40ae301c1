from mmdet.models.dense_heads import RPNHead
from mmdet.registry import MODELS

from .scale_range_mixin import ScaleRangeFilterMixin


@MODELS.register_module()
class ScaleRangeRPNHead(ScaleRangeFilterMixin, RPNHead):
    """RPN whose proposals lie in the range of their image, filtered before ``nms_pre`` and NMS (ISN section 3.3.1).

    Needs ``scale_range`` in the meta information of each training image; see ``ScaleRangeFilterMixin``. Which anchors
    are trained on is decided by the assigner, ``ScaleRangeAssigner``.

    Args:
        *args: Arguments of ``RPNHead``.
        filter_in_test: Whether to filter in testing too.
        **kwargs: Arguments of ``RPNHead``.
    """
