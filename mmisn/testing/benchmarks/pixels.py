"""Pixels fed to the network per image and epoch, padding included.

Nothing is decoded: the batches come from the samplers that train, the sizes from the chips or from what ``Resize``
would make, the padding is ``DetDataPreprocessor``'s.

Shape shorthand: B samples of a batch.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from mmcv import rescale_size
from mmdet.registry import DATA_SAMPLERS, DATASETS
from mmengine.config import Config

from mmisn.chips.levels import level_size
from mmisn.datasets import ChipDataset

from .coco_like import CocoFolder
from .report import Row, Target

CONFIGS = Path(__file__).resolve().parents[3] / 'configs'
ISN = 'isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'
SINGLE_SCALE = 'baselines/faster-rcnn_r50_fpn_8xb4-18e_coco.py'
MULTI_SCALE = 'baselines/faster-rcnn_r50_fpn_8xb4-ms-18e_coco.py'
# Of single-scale's pixels; ISN trains on at most so many.
MOST_PIXELS = 1.3
EPOCHS = 5

SizeWH = tuple[int, int]


def padded_pixels(batch_wh: Sequence[SizeWH], divisor: int) -> int:
    """Pixels of a batch: all its samples are padded to the largest width and height, rounded up to the divisor.

    Args:
        batch_wh: Width and height of the B samples.
        divisor: ``pad_size_divisor``.
    """
    width, height = (-(-max(sides) // divisor) * divisor for sides in zip(*batch_wh))
    return len(batch_wh) * width * height


def pixels_per_image(batches_wh: Iterable[Sequence[SizeWH]], num_images: int, divisor: int) -> tuple[float, float]:
    """Pixels per image of an epoch.

    Args:
        batches_wh: Sizes of the samples of each batch.
        num_images: Images of the data set.
        divisor: ``pad_size_divisor``.

    Returns:
        With and without padding.
    """
    padded = plain = 0
    for batch in batches_wh:
        padded += padded_pixels(batch, divisor)
        plain += sum(width * height for width, height in batch)
    return padded / num_images, plain / num_images


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
def _settings(name: str) -> tuple[Config, int]:
    config = Config.fromfile(CONFIGS / name)
    return config, config.model.data_preprocessor.pad_size_divisor


def _sizes(config: Config, rng: np.random.Generator) -> Callable[[SizeWH], SizeWH]:
    """What the training pipeline's resizing makes of an image's size."""
    for transform in config.train_dataloader.dataset.pipeline:
        if transform.type == 'Resize':
            return lambda wh: rescale_size(wh, transform.scale)
        if transform.type == 'RandomChoiceResize':
            return lambda wh: rescale_size(wh, transform.scales[rng.integers(len(transform.scales))])
    raise ValueError(f'{config.filename} resizes with neither Resize nor RandomChoiceResize')


def whole_image_pixels(name: str, images, factor: float | None = None) -> tuple[float, float]:
    """Pixels per image and epoch of training on whole images.

    Args:
        name: Config, relative to ``configs/``: its resizing, samplers and padding are used.
        images: The data set.
        factor: Resize by this factor instead.

    Returns:
        With and without padding.
    """
    config, divisor = _settings(name)
    loader = config.train_dataloader
    resize = _sizes(config, np.random.default_rng(0))
    if factor is not None:
        resize = lambda wh: level_size(wh, factor)  # noqa: E731  the same role as the function above
    sampler = DATA_SAMPLERS.build(dict(loader.sampler), default_args=dict(dataset=images, seed=0))
    wh = [(info['width'], info['height']) for info in (images.get_data_info(i) for i in range(len(images)))]
    totals = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        batches = DATA_SAMPLERS.build(
            dict(loader.batch_sampler), default_args=dict(sampler=sampler, batch_size=loader.batch_size)
        )
        totals.append(pixels_per_image([[resize(wh[i]) for i in batch] for batch in batches], len(images), divisor))
    return tuple(np.mean(totals, axis=0))


def _chips(folder: CocoFolder) -> tuple[ChipDataset, tuple[float, ...], list[Row]]:
    """The chip data set of the config on these images; its factors; and where its pixels come from."""
    config, _ = _settings(ISN)
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
    config, divisor = _settings(ISN)
    loader = config.train_dataloader
    cfg = {**loader.sampler, 'pixels_per_image': budget}
    sampler = DATA_SAMPLERS.build(cfg, default_args=dict(dataset=dataset, seed=0))
    batches = DATA_SAMPLERS.build(
        dict(loader.batch_sampler), default_args=dict(sampler=sampler, batch_size=loader.batch_size)
    )
    totals = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        sizes = [[tuple(dataset.view_sizes_wh[index.chip].tolist()) for index in batch] for batch in batches]
        totals.append(pixels_per_image(sizes, dataset.num_images, divisor))
    return tuple(np.mean(totals, axis=0))
