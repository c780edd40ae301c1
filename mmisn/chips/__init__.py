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
from .negative import PROPOSAL_COUNTS, NegativePlan, negative_chips
from .pyramid import PyramidChips, pyramid_views

__all__ = [
    'PROPOSAL_COUNTS',
    'CoverChips',
    'CoverPlan',
    'LevelPlan',
    'NegativePlan',
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
    'negative_chips',
    'parse_level',
    'pyramid_views',
]
