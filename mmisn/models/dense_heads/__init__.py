from .patched_ssd_head import PatchedSSDHead
from .scale_range_mixin import ScaleRangeFilterMixin
from .scale_range_retina_head import ScaleRangeRetinaHead
from .scale_range_rpn_head import ScaleRangeRPNHead

__all__ = ['PatchedSSDHead', 'ScaleRangeFilterMixin', 'ScaleRangeRPNHead', 'ScaleRangeRetinaHead']
