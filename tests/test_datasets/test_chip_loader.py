"""Chips through a data loader whose workers stay alive: nothing but the index tells them the epoch."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from torch.utils.data import DataLoader

import mmisn.models  # noqa: F401  spawned workers import mmisn as a training does
from mmisn.datasets import ChipDataset
from mmisn.datasets.samplers import ChipBatchSampler, ChipSampler

PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PhotoMetricDistortion'),  # draws from numpy's global state
    dict(type='PackInstanceInputs'),
]
IMAGES = [(240, 200), (250, 220), (60, 60)]
ANNOTATIONS = [(0, 1, [5.0, 5.0, 30.0, 40.0], {}), (0, 2, [150.0, 120.0, 60.0, 60.0], {})] + [
    (1, label, [20.0 + 70 * label, 30.0, 50.0, 45.0], {}) for label in range(3)
]


@pytest.fixture
def loader(coco_folder, inner_cfg, tmp_path):
    generator = dict(type='CoverChips', factors=[2.0, 1.0, 0.5], scale_range=(16, 90), chip_size=96)
    images = inner_cfg(coco_folder(IMAGES, ANNOTATIONS))
    dataset = ChipDataset(images, generator, PIPELINE, cache_dir=str(tmp_path / 'c'))
    dataset.full_init()

    def make(**kwargs):
        sampler = ChipSampler(dataset, seed=5)
        return DataLoader(
            dataset, batch_sampler=ChipBatchSampler(sampler, batch_size=2), collate_fn=pseudo_collate, **kwargs
        )

    return make


def epochs_of(loader, num_epochs=2):
    """Per epoch, in the loader's order: chip, pixels and boxes of each sample."""
    epochs = []
    for epoch in range(num_epochs):
        loader.batch_sampler.sampler.set_epoch(epoch)
        samples = [pair for batch in loader for pair in zip(batch['inputs'], batch['data_samples'])]
        epochs.append([(sample.chip, image, sample.gt_instances.bboxes.tensor) for image, sample in samples])
    return epochs


@pytest.mark.parametrize('context', ['fork', 'spawn'])
def test_workers_that_stay_alive_give_what_the_main_process_gives(loader, context):
    expected = epochs_of(loader())
    workers = loader(num_workers=1, persistent_workers=True, multiprocessing_context=context)
    found = epochs_of(workers)
    assert [len(e) for e in found] == [len(e) for e in expected]
    for (chip, image, boxes), (chip_0, image_0, boxes_0) in zip(sum(found, []), sum(expected, [])):
        assert chip == chip_0
        assert torch.equal(image, image_0)
        assert torch.equal(boxes, boxes_0)
    # Not vacuous: the second epoch shows other chips or other pixels of them.
    first, second = ([np.array(image) for _, image, _ in epoch] for epoch in expected)
    assert not all(any(a.shape == b.shape and (a == b).all() for b in second) for a in first)
