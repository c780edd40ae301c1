"""What ``ChipDataset`` computes in short cuts equals the long way."""

import pickle
import random

import numpy as np
import pytest
import torch

from mmisn.datasets import ChipDataset, ChipIndex
from mmisn.datasets.chip_dataset import MAX_DRAWS, MAX_REMEMBERED
from mmisn.structures import Chip

RNG = np.random.default_rng(5)
IMAGES = [(240, 200), (250, 220), (200, 240), (60, 60)]
ANNOTATIONS = [
    (image, int(RNG.integers(3)), [float(v) for v in (*RNG.uniform(0, 150, 2), *RNG.uniform(4, 90, 2))], {})
    for image in range(4)
    for _ in range(8)
] + [(0, 1, [20.0, 20.0, 40.0, 40.0], dict(iscrowd=1))]
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
GENERATOR = dict(type='CoverChips', factors=(2.0, 1.0, 0.5), scale_range=(16, 100), chip_size=128)


@pytest.fixture
def dataset(coco_folder, inner_cfg):
    folder = coco_folder(IMAGES, ANNOTATIONS)
    made = ChipDataset(inner_cfg(folder), GENERATOR, PIPELINE, cache_dir='')
    made.full_init()
    return made


def chip_the_long_way(dataset, number, epoch, seed):
    """Straight from the definition: (seed, epoch, image, level, draw), read from the annotations each time."""
    plan = dataset.plan
    image, level = int(plan.image[number]), int(plan.level[number])
    info = dataset.dataset.get_data_info(image)
    boxes = np.array([i['bbox'] for i in info['instances'] if not i['ignore_flag']], np.float32).reshape(-1, 4)
    wh = info['width'], info['height']
    chip = Chip(plan.xyxy[number].tolist(), plan.size_wh[number].tolist())
    for draw in range(MAX_DRAWS):
        rng = np.random.default_rng((seed, epoch, image, level, draw))
        chips = dataset.generator.plan_level(level, wh, boxes.astype(float).clip(0, (*wh, *wh)), rng)
        if len(chips) <= plan.slots[number]:
            chip = chips[plan.slot[number] % len(chips)]
            break
    return chip.flipped(bool(np.random.default_rng((seed, epoch, number, 1)).random() < dataset.flip_prob))


@pytest.mark.parametrize('seed', [0, 2**31 - 1, 2**33 + 1])
def test_chips_follow_from_the_seed_as_defined(dataset, seed):
    for epoch in range(6):
        for number in range(len(dataset)):
            index = ChipIndex(number, epoch, seed)
            expected = chip_the_long_way(dataset, number, epoch, seed)
            assert dataset.chip_at(index) == expected
            assert dataset.get_data_info(index)['chip'] == expected


def test_the_last_draws_are_remembered_and_no_more(dataset, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        dataset.generator,
        'plan_level',
        lambda *args, plan=dataset.generator.plan_level: drawn.append(args) or plan(*args),
    )
    dataset.chip_at(ChipIndex(0, 1, 0))
    first = len(drawn)
    assert first > 0
    dataset.chip_at(ChipIndex(0, 1, 0))
    assert len(drawn) == first
    for epoch in range(2, 2 + MAX_REMEMBERED):
        dataset.chip_at(ChipIndex(0, epoch, 0))
    before = len(drawn)
    dataset.chip_at(ChipIndex(0, 1, 0))
    assert len(drawn) == before + first
    assert len(dataset._drawn) == MAX_REMEMBERED
    monkeypatch.undo()
    assert pickle.loads(pickle.dumps(dataset)).chip_at(ChipIndex(0, 1, 0)) == dataset.chip_at(ChipIndex(0, 1, 0))


def test_samples_are_the_same_with_and_without_seeding(dataset, monkeypatch):
    """Seeding the global generators is left out where no transform draws from them."""
    indices = [ChipIndex(number, 3, 1) for number in range(len(dataset))]
    state = np.random.get_state()[1].copy(), random.getstate()
    ours = [dataset[index] for index in indices]
    assert (np.random.get_state()[1] == state[0]).all() and random.getstate() == state[1]
    monkeypatch.setattr('mmisn.datasets.chip_dataset.draws_numbers', lambda pipeline: True)
    for index, sample in zip(indices, ours):
        seeded = dataset[index]
        assert torch.equal(sample['inputs'], seeded['inputs'])
        first, second = sample['data_samples'], seeded['data_samples']
        assert first.metainfo == second.metainfo
        for name in ('gt_instances', 'ignored_instances'):
            assert torch.equal(first.get(name).bboxes.tensor, second.get(name).bboxes.tensor)
            assert torch.equal(first.get(name).labels, second.get(name).labels)
