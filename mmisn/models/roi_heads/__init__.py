from .two_width_bbox_head import TwoWidthBBoxHead

__all__ = ['TwoWidthBBoxHead']
