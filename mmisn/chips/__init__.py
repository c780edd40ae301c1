from .cover import CoverChips, CoverPlan, LevelPlan, cover, cover_level
from .focus import FocusChips, class_intervals, classes_of_levels, pixels_of_classes
from .grid import GridChips, grid_views
from .levels import (
    build_level_ranges,
    build_levels,
    check_level_gaps,
    level_chip_shape,
    level_factor,
    level_name,
    level_size,
    parse_level,
)
from .negative import PROPOSAL_COUNTS, NegativePlan, negative_chips
from .pixel_cover import CoverGrid, cover_pixels
from .pixel_rules import (
    ClassRule,
    PixelRule,
    RegressionRule,
    build_pixel_rule,
    check_scale_map,
    check_scale_maps,
    top_k,
)
from .pyramid import PyramidChips, pyramid_views
from .recursive import RecursiveChips, WindowSettings, recursive_views
from .rescale import PredictMany, RescalePath, fit_canvas, rescale_recursively, resize_picture
from .windows import Window, densest_window, window_chip, without_enclosed

__all__ = [
    'PROPOSAL_COUNTS',
    'ClassRule',
    'CoverChips',
    'CoverGrid',
    'CoverPlan',
    'FocusChips',
    'GridChips',
    'LevelPlan',
    'NegativePlan',
    'PixelRule',
    'PredictMany',
    'PyramidChips',
    'RecursiveChips',
    'RegressionRule',
    'RescalePath',
    'Window',
    'WindowSettings',
    'build_level_ranges',
    'build_levels',
    'build_pixel_rule',
    'check_level_gaps',
    'check_scale_map',
    'check_scale_maps',
    'class_intervals',
    'classes_of_levels',
    'cover',
    'cover_level',
    'cover_pixels',
    'densest_window',
    'fit_canvas',
    'grid_views',
    'level_chip_shape',
    'level_factor',
    'level_name',
    'level_size',
    'negative_chips',
    'parse_level',
    'pixels_of_classes',
    'pyramid_views',
    'recursive_views',
    'rescale_recursively',
    'resize_picture',
    'top_k',
    'window_chip',
    'without_enclosed',
]
