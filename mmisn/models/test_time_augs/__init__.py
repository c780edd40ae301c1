from .mask_average import average_masks_of_views
from .mask_store import MaskRequest, MaskStore, StoredMasks
from .merge import DEFAULT_NMS, check_merge_options, merge_views
from .range_tta import ScaleRangeTTAModel
from .soft_nms import soft_nms_per_class
from .view_masks import ViewMasks
from .view_test_cfg import OPEN_TEST_CFG, open_test_cfg
from .views import build_view_filters, chip_of_view, filters_of_views, metainfo_of_image

__all__ = [
    'DEFAULT_NMS',
    'OPEN_TEST_CFG',
    'MaskRequest',
    'MaskStore',
    'ScaleRangeTTAModel',
    'StoredMasks',
    'ViewMasks',
    'average_masks_of_views',
    'build_view_filters',
    'check_merge_options',
    'chip_of_view',
    'filters_of_views',
    'merge_views',
    'metainfo_of_image',
    'open_test_cfg',
    'soft_nms_per_class',
]
