from .chip_detector import ChipDetector, RawImagePreprocessor

__all__ = ['ChipDetector', 'RawImagePreprocessor']
