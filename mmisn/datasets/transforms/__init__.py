from .chips import CropChip, FilterByScale, GenerateChips
from .formatting import PackInstanceInputs

__all__ = ['CropChip', 'FilterByScale', 'GenerateChips', 'PackInstanceInputs']
