from .chip import Chip
from .resample import crop_resample, masks_to_image, masks_to_view
from .scale_range import ScaleRange, scale_gaps, scales_of_boxes
from .view_filter import ViewFilter

__all__ = [
    'Chip',
    'ScaleRange',
    'ViewFilter',
    'crop_resample',
    'masks_to_image',
    'masks_to_view',
    'scale_gaps',
    'scales_of_boxes',
]
