from collections import Counter

import numpy as np
import pytest

from mmisn.datasets import ChipDataset
from mmisn.datasets.samplers import ChipBatchSampler, ChipSampler


class Chips(ChipDataset):
    """View sizes alone, which is all that a sampler asks for."""

    def __init__(self, sizes, num_images=10):
        self.sizes = np.array(sizes)
        self._num_images = num_images

    num_images = property(lambda self: self._num_images)
    view_sizes_wh = property(lambda self: self.sizes)

    def __len__(self):
        return len(self.sizes)


SIZES = [(64, 64)] * 13 + [(32, 32)] * 9 + [(16, 8)] * 5


def sampler_of(rank=0, world_size=1, seed=0, sizes=SIZES, **kwargs):
    sampler = ChipSampler(Chips(sizes), seed=seed, **kwargs)
    sampler.rank, sampler.world_size = rank, world_size
    return sampler


def test_an_epoch_holds_every_chip_once():
    sampler = sampler_of()
    for epoch in range(3):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert sorted(i.chip for i in indices) == list(range(27))
        assert {(i.epoch, i.seed) for i in indices} == {(epoch, 0)}


def test_order_follows_from_seed_and_epoch():
    def order(seed, epoch):
        sampler = sampler_of(seed=seed)
        sampler.set_epoch(epoch)
        return [i.chip for i in sampler]

    assert order(0, 1) == order(0, 1)
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


@pytest.mark.parametrize('world_size', [1, 2, 3, 4])
def test_ranks_share_an_epoch(world_size):
    samplers = [sampler_of(r, world_size) for r in range(world_size)]
    shares = [[i.chip for i in s] for s in samplers]
    assert {len(s) for s in shares} == {len(samplers[0])}
    counts = Counter(sum(shares, []))
    assert set(counts) == set(range(27))
    assert sum(counts.values()) - 27 < world_size  # padding


@pytest.mark.parametrize('world_size', [1, 2])
@pytest.mark.parametrize('batch_size', [1, 4])
def test_batches_of_ranks_are_disjoint_and_complete(world_size, batch_size):
    samplers = [ChipBatchSampler(sampler_of(r, world_size), batch_size) for r in range(world_size)]
    shares = [list(s) for s in samplers]
    assert all(len(s) == len(samplers[0]) for s in shares)
    assert all(len(b) == batch_size for s in shares for b in s)
    counts = Counter(i.chip for s in shares for b in s for i in b)
    assert set(counts) == set(range(27))
    padding = sum(counts.values()) - 27
    assert padding < world_size * batch_size
    assert sum(c > 1 for c in counts.values()) <= padding


def test_small_chips_travel_together():
    sampler = ChipBatchSampler(sampler_of(), 4)
    sizes = np.array(SIZES)
    padded = used = 0
    for batch in sampler:
        wh = sizes[[i.chip for i in batch]]
        padded += len(batch) * wh.max(axis=0).prod()
        used += wh.prod(axis=1).sum()
    # Two batches straddle two sizes; a random order would pad most of them.
    assert padded / used < 1.15
    assert sampler.sampler.epoch_indices() != sorted(sampler.sampler.epoch_indices())


def test_batches_are_shuffled_and_drawn_anew_each_epoch():
    sampler = ChipBatchSampler(sampler_of(), 4)
    epochs = []
    for epoch in range(2):
        sampler.sampler.set_epoch(epoch)
        epochs.append([tuple(i.chip for i in b) for b in sampler])
    assert epochs[0] != epochs[1]
    areas = [np.prod(SIZES[b[0]]) for b in epochs[0]]
    assert areas != sorted(areas)


@pytest.mark.parametrize(('drop_last', 'batches'), [(False, 7), (True, 6)])
def test_last_batch(drop_last, batches):
    sampler = ChipBatchSampler(sampler_of(), 4, drop_last=drop_last)
    assert len(sampler) == len(list(sampler)) == batches


def test_drop_last_leaves_out_chips_of_any_size():
    sampler = ChipBatchSampler(sampler_of(), 4, drop_last=True)
    missing = set()
    for epoch in range(20):
        sampler.sampler.set_epoch(epoch)
        missing |= set(range(27)) - {i.chip for b in sampler for i in b}
    assert {SIZES[i] for i in missing} == set(SIZES)


def test_budget_uses_every_chip_before_any_again():
    sizes = [(10, 10)] * 30
    # 10 images at 70 px each are 700 px: 7 chips of 100 px an epoch.
    sampler = sampler_of(sizes=sizes, pixels_per_image=70)
    stream = []
    for epoch in range(30):
        sampler.set_epoch(epoch)
        indices = list(sampler)
        assert len(indices) == len(sampler) == 7
        stream += indices
    for start in range(0, 210, 30):
        one_pass = stream[start : start + 30]
        assert sorted(i.chip for i in one_pass) == list(range(30))
        assert len({i.epoch for i in one_pass}) == 1


def test_budget_above_one_pass():
    sampler = sampler_of(sizes=[(10, 10)] * 4, pixels_per_image=100)
    assert (
        Counter(i.chip for i in sampler) == {0: 3, 1: 3, 2: 2, 3: 2}
        or sum(Counter(i.chip for i in sampler).values()) == 10
    )
    assert max(Counter(i.chip for i in sampler).values()) == 3


def test_without_shuffle_chips_come_in_order():
    assert [i.chip for i in sampler_of(shuffle=False)] == list(range(27))


def test_a_batch_larger_than_the_epoch_is_filled_up():
    batches = list(ChipBatchSampler(sampler_of(sizes=[(8, 8)] * 3), 8))
    assert len(batches) == 1
    assert Counter(i.chip for i in batches[0]).keys() == {0, 1, 2}
    assert len(batches[0]) == 8


def test_errors():
    with pytest.raises(TypeError, match='draws from a ChipDataset, got list'):
        ChipSampler([1, 2])
    with pytest.raises(ValueError, match='pixels_per_image must be positive or None, got 0'):
        sampler_of(pixels_per_image=0)
    with pytest.raises(TypeError, match='takes batches from a ChipSampler, got list'):
        ChipBatchSampler([1], 2)
    with pytest.raises(ValueError, match='batch_size must be at least 1, got 0'):
        ChipBatchSampler(sampler_of(), 0)
