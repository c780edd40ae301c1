from .chip import Chip, clip_boxes
from .resample import INTERPOLATIONS, crop_resample, masks_to_view
from .scale_range import ScaleRange, is_range_list, scale_gaps, scales_of_boxes, warn_of_scale_gaps
from .view_filter import ViewFilter

__all__ = [
    'INTERPOLATIONS',
    'Chip',
    'ScaleRange',
    'ViewFilter',
    'clip_boxes',
    'crop_resample',
    'is_range_list',
    'masks_to_view',
    'scale_gaps',
    'scales_of_boxes',
    'warn_of_scale_gaps',
]
