import random

import cv2
import numpy as np
import pytest
from mmdet.registry import TRANSFORMS
from mmengine.dataset import Compose

from mmisn.datasets.sample_random import DRAW_NOTHING, draws_numbers, global_numbers_of, rng_of
from mmisn.datasets.transforms import CropChip
from mmisn.structures import Chip

NAMES = [
    'LoadImageFromFile',
    'LoadAnnotations',
    'FilterByScale',
    'CropChip',
    'PackInstanceInputs',
    'PackDetInputs',
]


@pytest.mark.parametrize(
    'entropy', [(0,), (0, 1, 5, 2, 0), (2**31, 7, 3, 1), (2**32 - 1, 2**32 - 1), (2**32, 1), (2**70 + 3, 0, 9)]
)
def test_a_stream_is_that_of_numpy(entropy):
    ours, numpys = rng_of(entropy), np.random.default_rng(entropy)
    assert ours.bit_generator.state == numpys.bit_generator.state
    assert (ours.random(5) == numpys.random(5)).all()


def test_negative_numbers_are_refused():
    with pytest.raises(ValueError):
        rng_of((0, -1))


def state_of_both():
    name, keys, *rest = np.random.get_state()
    return name, keys.tolist(), rest, random.getstate()


def results_of(folder):
    path = str(folder / 'image.png')
    cv2.imwrite(path, np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))
    instance = dict(bbox=[5.0, 6.0, 25.0, 30.0], bbox_label=1, ignore_flag=0)
    return dict(
        img_path=path,
        img_id=1,
        height=40,
        width=60,
        instances=[instance],
        chip=Chip((0, 0, 30, 40), (60, 80), True),
        scale_range=(1, 90),
    )


def test_the_transforms_that_draw_nothing_draw_nothing(tmp_path):
    assert {TRANSFORMS.get(name) for name in NAMES} == DRAW_NOTHING
    for packer in NAMES[4:]:
        results = results_of(tmp_path)
        np.random.seed(3)
        random.seed(3)
        for name in (*NAMES[:4], packer):
            transform = TRANSFORMS.build(dict(type=name))
            before = state_of_both()
            results = transform(results)
            assert state_of_both() == before, name
        assert results['inputs'].shape == (3, 80, 60)


class JitteredCrop(CropChip):
    """A subclass that draws numbers, which its base does not."""

    def transform(self, results):
        np.random.random()
        return super().transform(results)


def test_which_pipelines_draw_numbers():
    assert not draws_numbers(Compose([dict(type=name) for name in NAMES[:5]]))
    assert draws_numbers(Compose([dict(type='LoadImageFromFile'), dict(type='PhotoMetricDistortion')]))
    assert draws_numbers(Compose([JitteredCrop()]))
    assert draws_numbers(lambda info: info)


def test_the_generators_are_put_back():
    np.random.seed(11)
    np.random.standard_normal()  # numpy keeps the second number of the pair
    random.seed(11)
    before = state_of_both()
    with pytest.raises(KeyError), global_numbers_of((4, 2)):
        first = np.random.random(), random.random()
        raise KeyError
    assert state_of_both() == before
    with global_numbers_of((4, 2)):
        assert (np.random.random(), random.random()) == first
    with global_numbers_of((4, 3)):
        assert np.random.random() != first[0]
