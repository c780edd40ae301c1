from .keypoint_eval import evaluate_keypoints
from .proposal_dump import DumpLevelProposals
from .scale_range_coco_metric import ScaleRangeCocoMetric
from .scale_range_eval import RangeResult, evaluate_scale_ranges, load_results, octave_ranges

__all__ = [
    'DumpLevelProposals',
    'RangeResult',
    'ScaleRangeCocoMetric',
    'evaluate_keypoints',
    'evaluate_scale_ranges',
    'load_results',
    'octave_ranges',
]
