from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS


@MODELS.register_module()
class PatchedSSDHead(SSDHead):
    """``SSDHead`` that can be tested.

    MMDetection 3.3.0's raises ``AttributeError: 'SSDHead' object has no attribute 'loss_cls'`` in every test
    (mmdetection issues 11063 and 11780). It has no module for its loss; that there is none is all that a test asks.
    """

    loss_cls = None
