from .keypoint_eval import evaluate_keypoints
from .picture_metrics import PictureAccuracy, PictureScale
from .proposal_dump import DumpLevelProposals
from .scale_map_metric import ScaleMapMetric
from .scale_range_coco_metric import ScaleRangeCocoMetric
from .scale_range_eval import RangeResult, evaluate_scale_ranges, load_results, octave_ranges

__all__ = [
    'DumpLevelProposals',
    'PictureAccuracy',
    'PictureScale',
    'RangeResult',
    'ScaleMapMetric',
    'ScaleRangeCocoMetric',
    'evaluate_keypoints',
    'evaluate_scale_ranges',
    'load_results',
    'octave_ranges',
]
