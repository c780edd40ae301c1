from .keypoint_heads import KeypointRCNNHead, OffsetKeypointHead
from .keypoint_roi_head import KeypointRoIHead
from .two_width_bbox_head import TwoWidthBBoxHead

__all__ = ['KeypointRCNNHead', 'KeypointRoIHead', 'OffsetKeypointHead', 'TwoWidthBBoxHead']
