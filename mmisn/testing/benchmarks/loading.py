"""Loading a training chip: against mmdet's resize and crop, and against the JPEG decode alone."""

import time
from collections.abc import Callable

import numpy as np
from mmdet.datasets.transforms import Resize
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.utils import register_all_modules
from mmengine.config import Config
from mmengine.runner import Runner

from mmisn.datasets import ChipDataset
from mmisn.structures import Chip, crop_resample

from .coco_like import CocoFolder
from .pixels import CONFIGS, ISN
from .report import Row, Target
from .timing import interleaved

NUM_CHIPS = 20
SMALL = 'isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
STEPS = 3


def jobs(folder: CocoFolder, rounds: int, with_step: bool) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement."""
    return [
        ('loading, crop', lambda: [_crop_row(folder, rounds)]),
        ('loading, whole sample', lambda: [_sample_row(folder, rounds, level) for level in range(5)]),
        ('loading, one worker', lambda: [_loader_row(folder, with_step)]),
    ]


def chip_dataset(folder: CocoFolder) -> ChipDataset:
    """The chip data set of the COCO config, on the images of ``folder``."""
    cfg = Config.fromfile(CONFIGS / ISN).train_dataloader.dataset
    return ChipDataset(folder.dataset_cfg(), cfg.generator, cfg.pipeline, cache_dir='')


def _chips_of_level(dataset: ChipDataset, level: int) -> list[int]:
    """Chips of one level, each of another image."""
    numbers = np.flatnonzero(dataset.plan.level == level)
    firsts = np.unique(dataset.plan.image[numbers], return_index=True)[1]
    return numbers[firsts][:NUM_CHIPS].tolist()


def _loader_of(cfg: dict) -> Callable[[str], np.ndarray]:
    load = TRANSFORMS.build(cfg)
    return lambda path: load(dict(img_path=path))['img']


def _crop_row(folder: CocoFolder, rounds: int) -> Row:
    dataset = chip_dataset(folder)
    infos = [dataset.get_data_info(number) for number in _chips_of_level(dataset, 0)]
    decode = _loader_of(dict(type='LoadImageFromFile'))
    decoded = [(decode(info['img_path']), info['chip'].flipped(False)) for info in infos]
    # No boxes and a plain slice: the cheapest form of the two transforms.
    resize = Resize(scale_factor=4.0)

    def with_mmdet(item: tuple[np.ndarray, Chip]) -> None:
        image, chip = item
        resized = resize(dict(img=image, img_shape=image.shape[:2]))['img']
        x, y = (round(v * f) for v, f in zip(chip.xyxy[:2], chip.factors))
        np.ascontiguousarray(resized[y : y + chip.size_wh[1], x : x + chip.size_wh[0]])

    times = interleaved(dict(ours=lambda item: crop_resample(*item), mmdet=with_mmdet), decoded, rounds)
    return Row(
        f'crop and resample a chip at w = 4, {folder.name}, JPEG decoded',
        f'{1e3 * times["ours"]:.2f} ms',
        f'mmdet Resize, then crop, {1e3 * times["mmdet"]:.2f} ms',
        times['mmdet'] / times['ours'],
        Target(5, at_least=True),
    )


def _sample_row(folder: CocoFolder, rounds: int, level: int) -> Row:
    dataset = chip_dataset(folder)
    numbers = _chips_of_level(dataset, level)
    # Two epochs, fixed for each item: half of the samples are flipped. They are more than the draws that the data set
    # remembers, so that drawing the chips is part of the time.
    items = [((number, epoch, 0), dataset.get_data_info(number)['img_path']) for epoch in (1, 2) for number in numbers]
    decode = _loader_of(dict(type='LoadImageFromFile'))
    functions = dict(whole=lambda item: dataset[item[0]], decode=lambda item: decode(item[1]))
    times = interleaved(functions, items, rounds)
    factor = dataset.generator.levels[level]
    return Row(
        f'load a whole training sample at w = {factor:g}, {folder.name}',
        f'{1e3 * times["whole"]:.2f} ms',
        f'JPEG decode alone, {1e3 * times["decode"]:.2f} ms',
        times['whole'] / times['decode'],
        Target(1.5, at_least=False) if level == 0 else None,
        'x the time',
    )


def _loader_row(folder: CocoFolder, with_step: bool) -> Row:
    """Samples per second of a loader with one worker, beside training steps on the same batches."""
    cfg = Config.fromfile(CONFIGS / ISN).train_dataloader
    cfg.update(num_workers=1, dataset=chip_dataset(folder))
    loader = Runner.build_dataloader(cfg, seed=0)
    batches, sizes, start = iter(loader), [], 0.0
    kept = []
    for batch in batches:
        # The first batch is the worker's start.
        start = start or time.perf_counter()
        sizes.append(len(batch['inputs']))
        kept = [*kept, batch][-STEPS - 1 :]
    rate = sum(sizes[1:]) / (time.perf_counter() - start)
    what = f'loader with one worker, batches of {cfg.batch_size} chips, {folder.name}'
    if not with_step:
        return Row(what, f'{rate:.0f} chips/s')
    step_rate = _training_rate(kept)
    return Row(
        what,
        f'{rate:.0f} chips/s',
        f'training step of the small detector on the CPU, same chips, {step_rate:.2f} chips/s',
        rate / step_rate,
    )


def _training_rate(batches: list[dict]) -> float:
    """Chips per second of forward, backward and update."""
    register_all_modules(init_default_scope=False)
    config = Config.fromfile(CONFIGS / SMALL)
    config.model.roi_head.bbox_head.num_classes = 80
    model = MODELS.build(config.model).train()
    optim = Runner.build_optim_wrapper(_NoRunner(model), config.optim_wrapper)
    model.train_step(batches[0], optim)
    start = time.perf_counter()
    for batch in batches[1:]:
        model.train_step(batch, optim)
    return sum(len(batch['inputs']) for batch in batches[1:]) / (time.perf_counter() - start)


class _NoRunner:
    """Enough of a runner to build an optimizer wrapper."""

    def __init__(self, model) -> None:
        self.model = model
