from .scale_range_assigner import ScaleRangeAssigner

__all__ = ['ScaleRangeAssigner']
