"""The order of ``DefaultSampler``, with epoch and seed beside every index."""

from collections.abc import Iterator

from mmdet.registry import DATA_SAMPLERS
from mmengine.dataset import DefaultSampler

from ..sample_random import SampleIndex


@DATA_SAMPLERS.register_module()
class SeededSampler(DefaultSampler):
    """Yield ``SampleIndex`` (number, epoch, seed) in the order of MMEngine's ``DefaultSampler``; its arguments.

    For datasets that draw random numbers, such as ``PicturesAtSizes`` with a detour: what they draw then follows from
    the index alone, so that ranks, workers and resumed trainings agree.
    """

    def __iter__(self) -> Iterator[SampleIndex]:
        return (SampleIndex(number, self.epoch, self.seed) for number in super().__iter__())
