from .scale_range_coco_metric import ScaleRangeCocoMetric
from .scale_range_eval import RangeResult, evaluate_scale_ranges, load_results, octave_ranges

__all__ = ['RangeResult', 'ScaleRangeCocoMetric', 'evaluate_scale_ranges', 'load_results', 'octave_ranges']
