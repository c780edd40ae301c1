"""Pixels that a config feeds to the network, in training per image and epoch, in testing per image.

Nothing is decoded: the batches come from the samplers that train, the sizes from the chips or from what the pipeline
would make of an image's size, the padding is ``DetDataPreprocessor``'s.

Shape shorthand: B samples of a batch.
"""

import copy
import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmcv import rescale_size
from mmdet.registry import DATA_SAMPLERS, DATASETS, TASK_UTILS
from mmengine.config import Config, ConfigDict
from torch.utils.data import BatchSampler

from mmisn.datasets import ChipDataset

from .keys import digest

# Epochs that are counted: sizes and batches are random.
EPOCHS = 5

SizeWH = tuple[int, int]
# Size of an image as it comes, and of what a pipeline has made of it: (original, now, random numbers) -> next.
Step = Callable[[SizeWH, SizeWH | None, np.random.Generator], SizeWH | None]

SAME_SIZE = frozenset(
    {
        *('LoadImageFromFile', 'LoadAnnotations', 'LoadKeypoints', 'FilterAnnotations', 'FilterByScale'),
        *('LoadMasksOrBoxes', 'RandomFlip', 'MapKeypoints', 'CropChip'),
        *('PhotoMetricDistortion', 'PackDetInputs', 'PackInstanceInputs'),
    }
)
# After these the size depends on the draw; a Resize that keeps no aspect ratio settles it.
ANY_SIZE = frozenset({'Expand', 'MinIoURandomCrop', 'RandomCrop'})


class Pixels(NamedTuple):
    """Pixels, per image and epoch in training."""

    padded: float
    plain: float


class TrainingCost(NamedTuple):
    """What a training costs: pixels per image and epoch, and the number of images."""

    pixels: Pixels
    images: int


def padded_pixels(batch_wh: Sequence[SizeWH], divisor: int) -> int:
    """Pixels of a batch: all its samples are padded to the largest width and height, rounded up to the divisor.

    Args:
        batch_wh: Width and height of the B samples.
        divisor: ``pad_size_divisor``.
    """
    width, height = (-(-max(sides) // divisor) * divisor for sides in zip(*batch_wh))
    return len(batch_wh) * width * height


def pixels_per_image(batches_wh: Iterable[Sequence[SizeWH]], num_images: int, divisor: int) -> Pixels:
    """Pixels per image of an epoch, with and without padding.

    Args:
        batches_wh: Sizes of the samples of each batch.
        num_images: Images of the data set.
        divisor: ``pad_size_divisor``.
    """
    padded = plain = 0
    for batch in batches_wh:
        padded += padded_pixels(batch, divisor)
        plain += sum(width * height for width, height in batch)
    return Pixels(padded / num_images, plain / num_images)


def size_of_pipeline(pipeline: Sequence[dict], where: str) -> Callable[[SizeWH, np.random.Generator], SizeWH]:
    """What a pipeline makes of an image's width and height.

    Args:
        pipeline: Configs of its transforms.
        where: What the pipeline belongs to, for messages.

    Raises:
        ValueError: If it has a transform whose size is not known, now or when it is called.
    """
    steps = [_step(transform, where) for transform in pipeline]

    def size(image_wh: SizeWH, rng: np.random.Generator) -> SizeWH:
        now: SizeWH | None = image_wh
        for step in steps:
            now = step(image_wh, now, rng)
        if now is None:
            raise ValueError(f'{where}: the pipeline ends at a random size; its pixels cannot be computed')
        return now

    return size


def _step(transform: dict, where: str) -> Step:
    kind = transform['type']
    if kind in SAME_SIZE:
        return lambda original, now, rng: now
    if kind == 'RandomChoice':
        return _choose([_branch(b, where) for b in transform['transforms']], transform.get('prob'))
    if kind == 'RandomCrop' and transform.get('crop_type') == 'relative':
        return _crop(*transform['crop_size'])
    if kind in ANY_SIZE:
        return lambda original, now, rng: None
    if kind == 'Resize':
        return _resize(transform.get('scale'), transform.get('scale_factor'), transform.get('keep_ratio', False))
    if kind == 'RandomChoiceResize':
        choices = [_resize(scale, None, transform.get('keep_ratio', False)) for scale in transform['scales']]
        return lambda original, now, rng: choices[rng.integers(len(choices))](original, now, rng)
    if kind == 'GenerateChips':
        return _draw_view(TASK_UTILS.build(transform['generator']), where)
    raise ValueError(f'{where}: what {kind} makes of the size of an image is not known; its pixels cannot be computed')


def _resize(scale: Any, factor: Any, keep_ratio: bool) -> Step:
    def resize(original: SizeWH, now: SizeWH | None, rng: np.random.Generator) -> SizeWH | None:
        if scale is not None and not keep_ratio:
            return (scale, scale) if isinstance(scale, int) else tuple(scale)
        if now is None:
            return None
        if scale is not None:
            return rescale_size(now, scale)
        # mmdet's Resize takes scale_factor only where scale is None.
        fx, fy = (factor, factor) if isinstance(factor, float) else factor
        return int(now[0] * fx + 0.5), int(now[1] * fy + 0.5)

    return resize


def _branch(transforms: dict | Sequence[dict], where: str) -> Step:
    steps = [_step(t, where) for t in ([transforms] if isinstance(transforms, dict) else transforms)]

    def branch(original: SizeWH, now: SizeWH | None, rng: np.random.Generator) -> SizeWH | None:
        for step in steps:
            now = step(original, now, rng)
        return now

    return branch


def _choose(branches: Sequence[Step], prob: Sequence[float] | None) -> Step:
    return lambda original, now, rng: branches[rng.choice(len(branches), p=prob)](original, now, rng)


def _crop(width_share: float, height_share: float) -> Step:
    def crop(original: SizeWH, now: SizeWH | None, rng: np.random.Generator) -> SizeWH | None:
        return now and (int(now[0] * width_share + 0.5), int(now[1] * height_share + 0.5))

    return crop


def _draw_view(generator: Any, where: str) -> Step:
    if getattr(generator, 'scale_ranges', None) is not None:
        raise ValueError(
            f'{where}: chips of {type(generator).__name__} depend on the objects; train through ChipDataset'
        )

    def draw(original: SizeWH, now: SizeWH | None, rng: np.random.Generator) -> SizeWH:
        views = generator.views(original)
        return views[rng.integers(len(views))].size_wh

    return draw


def training_dataset(cfg: Config) -> Any:
    """The data set that a config trains on, without its pipeline and without negative chips.

    A sampler with a budget of pixels draws as many of them with negative chips as without.
    """
    dataset = copy.deepcopy(cfg.train_dataloader.dataset)
    if dataset.type == 'ChipDataset':
        dataset.negatives = None
    else:
        _innermost(dataset).pipeline = []
    return DATASETS.build(dataset)


def _innermost(dataset: ConfigDict) -> ConfigDict:
    while 'dataset' in dataset:
        dataset = dataset.dataset
    return dataset


def training_pixels(cfg: Config, dataset: Any = None, resize: Callable[[SizeWH], SizeWH] | None = None) -> Pixels:
    """Pixels per image and epoch of a training, its samplers, sizes and padding being the config's.

    Args:
        cfg: The config.
        dataset: In place of the config's ``training_dataset``.
        resize: In place of the pipeline of whole images.

    Raises:
        ValueError: If the pipeline has a transform whose size is not known.
    """
    dataset = training_dataset(cfg) if dataset is None else dataset
    loader = cfg.train_dataloader
    divisor = cfg.model.data_preprocessor.get('pad_size_divisor', 1)
    sampler = DATA_SAMPLERS.build(dict(loader.sampler), default_args=dict(dataset=dataset, seed=0))
    num_images = _num_images(dataset)
    if isinstance(dataset, ChipDataset):
        size_of = lambda index: tuple(dataset.view_sizes_wh[index.chip].tolist())  # noqa: E731  like the other one
    else:
        size_of = _size_of_image(cfg, dataset, resize)
    totals = []
    for epoch in range(EPOCHS):
        sampler.set_epoch(epoch)
        batches = [[size_of(index) for index in batch] for batch in _batches(loader, sampler)]
        totals.append(pixels_per_image(batches, num_images, divisor))
    return Pixels(*np.mean(totals, axis=0).tolist())


def _size_of_image(cfg: Config, dataset: Any, resize: Callable[[SizeWH], SizeWH] | None) -> Callable[[int], SizeWH]:
    rng = np.random.default_rng(0)
    if resize is None:
        size = size_of_pipeline(_innermost(cfg.train_dataloader.dataset).pipeline, cfg.filename)
    else:
        size = lambda wh, _: resize(wh)  # noqa: E731  the same role as the function above
    if hasattr(dataset, 'full_init'):
        dataset.full_init()
    infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    wh = [(info['width'], info['height']) for info in infos]
    return lambda index: size(wh[index], rng)


def _batches(loader: ConfigDict, sampler: Any) -> Iterable[Sequence[Any]]:
    cfg = loader.get('batch_sampler')
    if cfg is None:
        return BatchSampler(sampler, loader.batch_size, drop_last=loader.get('drop_last', False))
    return DATA_SAMPLERS.build(dict(cfg), default_args=dict(sampler=sampler, batch_size=loader.batch_size))


_COSTS: dict[str, TrainingCost] = {}


def training_cost(cfg: Config) -> TrainingCost:
    """``training_pixels`` on the config's own data, computed once for all seeds and learning rates."""
    key = digest([cfg.train_dataloader, cfg.model.data_preprocessor])
    if key not in _COSTS:
        # pycocotools reports each file that it reads.
        with redirect_stdout(StringIO()):
            dataset = training_dataset(cfg)
            pixels = training_pixels(cfg, dataset)
        _COSTS[key] = TrainingCost(pixels, _num_images(dataset))
    return _COSTS[key]


def _num_images(dataset: Any) -> int:
    # RepeatDataset shows each image several times in what it calls an epoch.
    return dataset.num_images if isinstance(dataset, ChipDataset) else len(getattr(dataset, 'dataset', dataset))


def pixels_of_test(cfg: Config, ann_file: str | Path, tta: bool) -> float:
    """View pixels per image of a test, all views together, padding not counted.

    Args:
        cfg: The config.
        ann_file: The images that are tested on.
        tta: Whether the test is run with ``--tta``.

    Raises:
        ValueError: If a pipeline has a transform whose size is not known.
    """
    pipeline = cfg.tta_pipeline if tta else _innermost(cfg.test_dataloader.dataset).pipeline
    views = [size_of_pipeline(view, cfg.filename) for view in views_of_pipeline(pipeline)]
    images = json.loads(Path(ann_file).read_text())['images']
    rng = np.random.default_rng(0)
    sizes = [view((image['width'], image['height']), rng) for image in images for view in views]
    return sum(width * height for width, height in sizes) / len(images)


def views_of_pipeline(pipeline: Sequence[dict]) -> list[list[dict]]:
    """The pipelines of the views of a test: ``TestTimeAug`` has one for each combination of its alternatives."""
    views: list[list[dict]] = [[]]
    for transform in pipeline:
        choices = [[transform]]
        if transform['type'] == 'TestTimeAug':
            choices = [list(combination) for combination in itertools.product(*transform['transforms'])]
        views = [view + choice for view in views for choice in choices]
    return views
