from .chips import CropChip, FilterByScale, GenerateChips
from .formatting import PackInstanceInputs
from .keypoints import LoadKeypoints, MapKeypoints

__all__ = ['CropChip', 'FilterByScale', 'GenerateChips', 'LoadKeypoints', 'MapKeypoints', 'PackInstanceInputs']
