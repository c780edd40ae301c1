"""Pictures at several sizes: which they are, how large, and where on the canvas."""

import numpy as np
import pytest
from mmengine.runner import Runner
from torch.utils.data import BatchSampler, DataLoader

from mmisn.chips.rescale import resize_picture
from mmisn.datasets import PicturesAtSizes, SampleIndex, pictures_at_sizes
from mmisn.datasets.samplers import SeededSampler

PICTURES = np.zeros((5, 28, 28), np.uint8)
PICTURES[:, 4:24, 4:24] = 200


class Toy(PicturesAtSizes):
    read = staticmethod(lambda root, split: (PICTURES, np.arange(5)))


def toy(sizes=(14, 16), **kwargs):
    return Toy('', 'train', sizes, canvas=28, unit_size=16, **kwargs)


def test_items_go_through_the_pictures_of_a_size_first():
    data = toy((14, 16, (56, 2)))
    assert len(data) == 12
    found = [(item['sizes'], item['index'], item['labels']) for item in map(data.__getitem__, range(12))]
    assert found == [(size, i, i) for size in (14, 16) for i in range(5)] + [(56, 0, 0), (56, 1, 1)]


def test_a_small_picture_is_centred_on_the_canvas_and_a_large_one_given_whole():
    data = toy((14, 56))
    small, large = data[0], data[5]
    assert (small['scales'], large['scales']) == (14 / 16, 56 / 16)
    assert small['inputs'].shape == (1, 28, 28) and large['inputs'].shape == (1, 56, 56)
    # A digit of 20 of 28 px is 10 of 14 px, in the middle of 28.
    expected = np.zeros((28, 28), np.uint8)
    expected[9:19, 9:19] = 200
    np.testing.assert_array_equal(small['inputs'][0], expected)


def test_a_detour_changes_the_sharpness_not_the_size():
    plain = toy((16,))[0]['inputs'].float()
    over = [toy((16,), detour=(14, 14))[0]['inputs'].float() for _ in range(2)]
    assert (over[0] == over[1]).all() and (over[0] != plain).any()
    assert abs(over[0].mean() - plain.mean()) < 0.04 * plain.mean()
    # 20 of 28 px are 11.4 of 16 px, whatever the detour.
    data = toy((16,), detour=(14, 28))
    sides = {int((data[SampleIndex(0, epoch)]['inputs'] > 100).any(1).sum()) for epoch in range(20)}
    assert sides <= {11, 12}


def sides_of_detours(monkeypatch, data, indices):
    """The sides in pixels that the pictures are resampled to on the way."""
    seen = []

    def resize(picture, size_wh):
        seen.append(size_wh)
        return resize_picture(picture, size_wh)

    monkeypatch.setattr(pictures_at_sizes, 'resize_picture', resize)
    for index in indices:
        data[index]
    monkeypatch.undo()
    assert all(w == h for w, h in seen)
    return [w for w, _ in seen[::2]]


def test_a_detour_follows_from_seed_epoch_and_number(monkeypatch):
    data = toy((14, 16), detour=(14, 56))
    indices = [SampleIndex(n, epoch, seed) for seed in (0, 2**31 - 1) for epoch in (0, 1, 7) for n in range(10)]
    drawn = {(s, e): np.random.default_rng((s, e)).integers(14, 57, len(data)) for _, e, s in indices}
    expected = [int(drawn[seed, epoch][n]) for n, epoch, seed in indices]
    np.random.seed(0)
    state = np.random.get_state()
    assert sides_of_detours(monkeypatch, data, indices) == expected
    assert sides_of_detours(monkeypatch, data, indices[::-1]) == expected[::-1]
    # Neither the global generator nor what another item has drawn is touched.
    assert all(np.array_equal(a, b) for a, b in zip(np.random.get_state(), state))
    assert sides_of_detours(monkeypatch, data, range(10)) == expected[:10]
    # Epochs, seeds, and sizes of the same picture have detours of their own.
    assert len({tuple(expected[i : i + 10]) for i in range(0, 60, 10)}) == 6 and expected[:5] != expected[5:10]


def test_both_ends_of_a_detour_are_drawn(monkeypatch):
    indices = [SampleIndex(0, epoch) for epoch in range(60)]
    assert set(sides_of_detours(monkeypatch, toy((16,), detour=(14, 17)), indices)) == {14, 15, 16, 17}


def batches(workers, epoch, rank_and_world=None, monkeypatch=None):
    data = toy((14, 16), detour=(14, 56))
    if rank_and_world:
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: rank_and_world)
    sampler = SeededSampler(data, shuffle=True, seed=3)
    sampler.set_epoch(epoch)
    loader = DataLoader(data, batch_sampler=BatchSampler(sampler, 2, False), num_workers=workers)
    samples = [(int(s), int(i), x) for b in loader for s, i, x in zip(b['sizes'], b['index'], b['inputs'])]
    return {(size, number): picture.numpy().tobytes() for size, number, picture in samples}


def test_workers_and_ranks_agree(monkeypatch):
    alone = batches(0, epoch=2)
    assert len(alone) == 10 and batches(2, epoch=2) == alone and batches(0, epoch=3) != alone
    ranks = [batches(0, 2, (rank, 2), monkeypatch) for rank in range(2)]
    assert ranks[0].keys() | ranks[1].keys() == alone.keys() and {**ranks[0], **ranks[1]} == alone


def test_the_sampler_has_the_order_of_the_default_one_and_the_seed_of_the_runner():
    data = toy((14, 16))
    cfg = dict(batch_size=2, dataset=data, collate_fn=dict(type='default_collate'))
    loaders = [
        Runner.build_dataloader(dict(cfg, sampler=dict(type=name, shuffle=True)), seed=5)
        for name in ('DefaultSampler', 'SeededSampler')
    ]
    for epoch in (0, 4):
        for loader in loaders:
            loader.sampler.set_epoch(epoch)
        default, seeded = (list(loader.sampler) for loader in loaders)
        assert seeded == [SampleIndex(number, epoch, 5) for number in default] and len(loaders[1].sampler) == 10


def test_the_first_pictures_only():
    assert len(toy(num_images=3)) == 6
    assert len(toy((14, (16, 4)), num_images=3)) == 6


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(sizes=()), 'at least one size'),
        (dict(sizes=(14, 14)), 'each once'),
        (dict(sizes=(0,)), r'pairs \(side, number of pictures\), got 0'),
        (dict(sizes=((14, 2, 3),)), 'pairs'),
        (dict(num_images=0), 'num_images must be a whole number above 0, got 0'),
        (dict(detour=(20, 14)), r'detour must be .* got \(20, 14\)'),
        (dict(detour=14.5), 'detour'),
    ],
)
def test_bad_arguments(kwargs, message):
    if kwargs.get('detour') == 14.5:
        kwargs['detour'] = (14.5, 28)
    with pytest.raises(ValueError, match=message):
        toy(**kwargs)


def test_held_out_pictures_are_the_last_of_the_training_set_and_in_no_training_part():
    read = {'train': np.arange(12_000), 'test': -np.arange(100)}

    class Numbered(PicturesAtSizes):
        read = staticmethod(lambda root, split: (np.zeros((len(labels := read[split]), 28, 28), np.uint8), labels))

    def labels(split):
        return Numbered('', split, (14,), canvas=28, unit_size=16).labels.tolist()

    assert labels('held_out') == list(range(7_000, 12_000))
    assert labels('train_part') == list(range(7_000))
    assert labels('train_part') + labels('held_out') == labels('train')
    assert labels('test') == read['test'].tolist()


@pytest.mark.parametrize('split', ['train_part', 'held_out'])
def test_a_training_set_with_nothing_to_hold_out_is_an_error(split):
    with pytest.raises(ValueError, match=rf"split {split!r} .* last 5000 .* more than 5000, 'here' has 5$"):
        Toy('here', split, (14,), canvas=28, unit_size=16)
