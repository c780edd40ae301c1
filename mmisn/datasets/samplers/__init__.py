from .chip_sampler import ChipBatchSampler, ChipSampler
from .seeded_sampler import SeededSampler

__all__ = ['ChipBatchSampler', 'ChipSampler', 'SeededSampler']
