"""When negative chips come: per pass, epoch and rank."""

from collections import Counter

import numpy as np
import pytest
from negative_records import write

from mmisn.datasets import ChipIndex
from mmisn.datasets.negatives import draw_negatives, pass_shares
from mmisn.datasets.samplers import ChipBatchSampler, ChipSampler


def test_sampler_without_negatives_is_what_it_was(with_negatives):
    plain = with_negatives(negatives=None)
    sampler = ChipSampler(plain, seed=4, pixels_per_image=1000)
    mean = float(plain.plan.size_wh.prod(axis=1).mean())
    assert sampler.num_chips == max(1, round(1000 * 4 / mean))
    sampler = ChipSampler(plain, seed=4)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        order = np.random.default_rng((4, epoch, 3)).permutation(len(plain))
        assert sampler.epoch_indices() == [ChipIndex(int(c), epoch, 4) for c in order]


def epochs_of(dataset, number, rank=0, world_size=1, seed=0, **kwargs):
    sampler = ChipSampler(dataset, seed=seed, **kwargs)
    sampler.rank, sampler.world_size = rank, world_size
    epochs = []
    for epoch in range(number):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
        assert len(epochs[-1]) == len(sampler)
    return epochs


@pytest.mark.parametrize('per_image', [1, 2, 50])
def test_a_pass_holds_all_positive_chips_and_a_few_negative_ones(with_negatives, tmp_path, per_image):
    options = dict(proposals=write(tmp_path / 'p.npz'), min_proposals=4, per_image=per_image)
    filled = with_negatives(negatives=options)
    plan = filled.plan
    pool = Counter(plan.image[plan.negative].tolist())
    assert max(pool.values()) > 2
    positive = (~plan.negative).nonzero()[0].tolist()
    draws = []
    for epoch in epochs_of(filled, 6):
        chips = [i.chip for i in epoch]
        assert sorted(c for c in chips if not plan.negative[c]) == positive
        drawn = [c for c in chips if plan.negative[c]]
        assert len(set(drawn)) == len(drawn)
        assert Counter(plan.image[drawn].tolist()) == {i: min(per_image, n) for i, n in pool.items()}
        draws.append(tuple(sorted(drawn)))
    assert len(set(draws)) == (1 if per_image == 50 else 6)


def test_draws_follow_from_seed_and_pass(filled):
    assert epochs_of(filled, 3, seed=1) == epochs_of(filled, 3, seed=1) != epochs_of(filled, 3, seed=2)


def test_every_negative_chip_is_equally_likely(filled):
    plan = filled.plan
    drawn = np.zeros(len(plan))
    for number in range(600):
        drawn[draw_negatives(plan, 2, np.random.default_rng(number))] += 1
    shares = pass_shares(plan, 2)
    assert (shares[~plan.negative] == 1).all() and not drawn[~plan.negative].any()
    for image in range(4):
        pool = plan.negative & (plan.image == image)
        assert shares[pool] == pytest.approx(np.full(pool.sum(), min(1, 2 / pool.sum())))
    expected = shares[plan.negative]
    deviation = np.abs(drawn[plan.negative] / 600 - expected) / np.sqrt(expected * (1.001 - expected) / 600)
    assert deviation.max() < 4


@pytest.mark.parametrize('world_size', [2, 3])
def test_ranks_share_an_epoch(filled, world_size):
    ranks = [epochs_of(filled, 3, rank, world_size) for rank in range(world_size)]
    for epoch, alone in enumerate(epochs_of(filled, 3)):
        shares = [rank[epoch] for rank in ranks]
        assert len({len(s) for s in shares}) == 1
        assert set(sum(shares, [])) == set(alone)
    batches = []
    for rank in range(world_size):
        sampler = ChipSampler(filled, seed=0)
        sampler.rank, sampler.world_size = rank, world_size
        batches.append(list(ChipBatchSampler(sampler, 3)))
        assert len(batches[-1]) == len(batches[0]) and all(len(b) == 3 for b in batches[-1])
    assert {i for rank in batches for b in rank for i in b} == set(epochs_of(filled, 1)[0])


def test_budget_counts_negative_chips(filled):
    """With a budget, passes follow each other: no positive chip comes twice before all came once."""
    plan = filled.plan
    length = len(epochs_of(filled, 1)[0])
    pixels = [plan.size_wh[[i.chip for i in epoch]].prod(axis=1).sum() for epoch in epochs_of(filled, 60)]
    # A third of a pass, by the mean pixels of a pass.
    budget = np.mean(pixels) / 4 / 3
    stream = epochs_of(filled, 12, pixels_per_image=float(budget))
    assert {len(e) for e in stream} <= {round(length / 3) + d for d in (-1, 0, 1)} and len(
        {len(e) for e in stream}
    ) == 1
    stream = sum(stream, [])
    positive = set((~plan.negative).nonzero()[0].tolist())
    for number in range(len(stream) // length):
        one_pass = stream[number * length : (number + 1) * length]
        assert {i.epoch for i in one_pass} == {number}
        assert positive <= {i.chip for i in one_pass} and len({i.chip for i in one_pass}) == length
