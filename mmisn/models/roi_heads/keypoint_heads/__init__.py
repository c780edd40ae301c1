from .base_keypoint_head import BaseKeypointHead
from .keypoint_rcnn_head import KeypointRCNNHead
from .offset_keypoint_head import OffsetKeypointHead

__all__ = ['BaseKeypointHead', 'KeypointRCNNHead', 'OffsetKeypointHead']
