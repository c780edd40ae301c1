from .chip_sampler import ChipBatchSampler, ChipSampler

__all__ = ['ChipBatchSampler', 'ChipSampler']
