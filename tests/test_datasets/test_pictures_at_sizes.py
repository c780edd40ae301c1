"""Pictures at several sizes: which they are, how large, and where on the canvas."""

import numpy as np
import pytest

from mmisn.datasets import PicturesAtSizes

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
    np.random.seed(0)
    over = [toy((16,), detour=(14, 14))[0]['inputs'].float() for _ in range(2)]
    assert (over[0] == over[1]).all() and (over[0] != plain).any()
    assert abs(over[0].mean() - plain.mean()) < 0.04 * plain.mean()
    # 20 of 28 px are 11.4 of 16 px, whatever the detour.
    sides = {int((toy((16,), detour=(14, 28))[0]['inputs'] > 100).any(1).sum()) for _ in range(20)}
    assert sides <= {11, 12}


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
