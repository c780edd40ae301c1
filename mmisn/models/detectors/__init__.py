from .chip_detector import ChipDetector
from .raw_images import RawImagePreprocessor

__all__ = ['ChipDetector', 'RawImagePreprocessor']
