from .chips import CropChip, FilterByScale, GenerateChips
from .formatting import PackInstanceInputs
from .keypoints import LoadKeypoints, MapKeypoints
from .scale_maps import LoadMasksOrBoxes

__all__ = [
    'CropChip',
    'FilterByScale',
    'GenerateChips',
    'LoadKeypoints',
    'LoadMasksOrBoxes',
    'MapKeypoints',
    'PackInstanceInputs',
]
