from .columnwise_overlaps import ColumnwiseBboxOverlaps2D, box_overlaps
from .scale_range_assigner import ScaleRangeAssigner

__all__ = ['ColumnwiseBboxOverlaps2D', 'ScaleRangeAssigner', 'box_overlaps']
