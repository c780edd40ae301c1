from .cover import CoverChips, CoverPlan, LevelPlan, cover, cover_level
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
from .pyramid import PyramidChips, pyramid_views

__all__ = [
    'CoverChips',
    'CoverPlan',
    'LevelPlan',
    'PyramidChips',
    'build_level_ranges',
    'build_levels',
    'check_level_gaps',
    'cover',
    'cover_level',
    'level_chip_shape',
    'level_factor',
    'level_name',
    'level_size',
    'parse_level',
    'pyramid_views',
]
