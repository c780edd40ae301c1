"""Pixels fed to the network per image and epoch by each way of training, padding included."""

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmisn.chips.levels import level_size
from mmisn.datasets import ChipDataset
from mmisn.experiments.pixels import training_pixels

from .coco_like import CocoFolder
from .report import Row, Target

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
ISN = 'isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'
SINGLE_SCALE = 'baselines/faster-rcnn_r50_fpn_8xb4-18e_coco.py'
MULTI_SCALE = 'baselines/faster-rcnn_r50_fpn_8xb4-ms-18e_coco.py'
# Of single-scale's pixels; ISN trains on at most so many.
MOST_PIXELS = 1.3


def jobs(folder: CocoFolder) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement."""
    return [('pixels', lambda: pixel_rows(folder))]


def pixel_rows(folder: CocoFolder) -> list[Row]:
    """Pixels of each way of training, single-scale's being the yardstick."""
    images = DATASETS.build(dict(**folder.dataset_cfg(), pipeline=[]))
    single = whole_image_pixels(SINGLE_SCALE, images)
    chips, factors, levels = _chips(folder)
    isn = chip_pixels(chips, None)
    own_budget = Config.fromfile(CONFIGS / ISN).train_dataloader.sampler.pixels_per_image
    budget = chip_pixels(chips, own_budget)
    multi = whole_image_pixels(MULTI_SCALE, images)
    pyramid = tuple(np.sum([whole_image_pixels(SINGLE_SCALE, images, factor) for factor in factors], axis=0))
    most = Target(MOST_PIXELS, at_least=False)
    rows = [
        _row('single-scale training', single, single, None),
        _row('multi-scale training', multi, single, None),
        _row('ISN training, all chips', isn, single, None),
        _row(f'ISN training, pixels_per_image={own_budget} (the default)', budget, single, most),
        _row('training on the full pyramid of 5 factors', pyramid, single, None),
    ]
    return [replace(row, what=f'{row.what}, {folder.name}') for row in rows] + levels


def _row(what: str, pixels: tuple[float, float], single: tuple[float, float], target: Target | None) -> Row:
    return Row(
        f'pixels per image and epoch, {what}',
        f'{pixels[0] / 1e6:.3f} Mpx padded, {pixels[1] / 1e6:.3f} without padding',
        f'single-scale, {single[0] / 1e6:.3f} Mpx padded',
        pixels[0] / single[0],
        target,
        'x the pixels',
    )


@lru_cache
def _config(name: str) -> Config:
    return Config.fromfile(CONFIGS / name)


def whole_image_pixels(name: str, images, factor: float | None = None) -> tuple[float, float]:
    """Pixels per image and epoch of training on whole images.

    Args:
        name: Config, relative to ``configs/``: its resizing, samplers and padding are used.
        images: The data set.
        factor: Resize by this factor instead.

    Returns:
        With and without padding.
    """
    resize = None if factor is None else lambda wh: level_size(wh, factor)
    return training_pixels(_config(name), images, resize)


def _chips(folder: CocoFolder) -> tuple[ChipDataset, tuple[float, ...], list[Row]]:
    """The chip data set of the config on these images; its factors; and where its pixels come from."""
    config = _config(ISN)
    dataset = ChipDataset(folder.dataset_cfg(), config.train_dataloader.dataset.generator, [], cache_dir='')
    plan, factors = dataset.plan, config.factors
    total = float(plan.size_wh.prod(axis=1).sum())
    rows = []
    for level, factor in enumerate(factors):
        sizes = plan.size_wh[plan.level == level]
        pixels = float(sizes.prod(axis=1).sum())
        rows.append(
            Row(
                f'pixels of ISN chips at w = {factor:g}, {folder.name}',
                f'{len(sizes) / dataset.num_images:.2f} chips, {pixels / dataset.num_images / 1e6:.3f} Mpx per image; '
                f'{plan.in_range[level]} objects in range, {plan.not_enclosed[level]} not enclosable',
                'all levels',
                pixels / total,
                ratio_is='of them',
            )
        )
    return dataset, factors, rows


def chip_pixels(dataset: ChipDataset, budget: float | None) -> tuple[float, float]:
    """Pixels per image and epoch of training on chips, with the config's samplers and padding.

    Args:
        dataset: The chips.
        budget: ``ChipSampler``'s ``pixels_per_image``.

    Returns:
        With and without padding.
    """
    config = Config(_config(ISN).to_dict())
    config.train_dataloader.sampler.pixels_per_image = budget
    return training_pixels(config, dataset)
