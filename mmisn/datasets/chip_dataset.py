"""``ChipDataset``: one sample per chip, over any COCO-format dataset of mmdet."""

import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mmdet.registry import DATASETS, TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.dataset import Compose
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.logging import print_log
from rich.progress import track
from torch.utils.data import Dataset

from mmisn.structures import Chip

from .annotation_check import (
    check_annotations,
    check_image_file,
    ignore_objects_without_mask,
    is_coco_dataset,
    loaded_masks,
)
from .chip_plan import ChipPlan, ImageObjects, cached_plan, make_plan, objects_of_image, plan_key
from .file_digest import file_digest
from .negatives import NegativeOptions
from .sample_random import draws_numbers, global_numbers_of, rng_of

# How often an epoch may draw the chips of an image and level anew until they are no more than the planned ones.
MAX_DRAWS = 8
# Of how many images and levels a data set remembers the last draw.
MAX_REMEMBERED = 16


class ChipIndex(NamedTuple):
    """What ``ChipSampler`` yields: everything that a sample follows from.

    With persistent workers nothing else that changes from epoch to epoch reaches the dataset.
    """

    chip: int
    epoch: int = 0
    seed: int = 0


def default_cache_dir() -> Path:
    """``$XDG_CACHE_HOME/mmisn/chip_plans``, by default below ``~/.cache``."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache') / 'mmisn' / 'chip_plans'


@DATASETS.register_module()
class ChipDataset(Dataset):
    """Chips of a dataset's images, planned once (ISN section 3.3.1; SNIPER for the chips).

    The plan fixes how many chips each image has at each level. Every epoch draws the chips anew from (seed, epoch,
    image, level): grid offset, stride and ties; a draw that needs more chips than planned is repeated, and after
    ``MAX_DRAWS`` times the planned chips stand. So an epoch has the same length always and encloses the same objects.

    Where the pipeline loads masks, an object without one that training can use (none at all, no polygon of three
    points, a run-length code with ``poly2mask=False``) is an ignored region; the log counts them.

    The pipeline starts from the inner dataset's data info plus ``chip`` and ``scale_range``; its random numbers
    (``numpy.random`` and ``random``) follow from (seed, epoch, chip) alone, whatever the rank or worker.

    Args:
        dataset: Config of a dataset that yields boxes, such as ``CocoDataset``; its own pipeline is not run.
        generator: Config of a training chip generator, such as ``CoverChips``.
        pipeline: Transforms; ``LoadImageFromFile``, ``LoadAnnotations``, ``FilterByScale``, ``CropChip`` and
            ``PackInstanceInputs`` at least.
        flip_prob: Probability of a left-right flip.
        redraw: Whether epochs draw their chips anew; else the planned ones are used always.
        cache_dir: Folder for plans; a user cache folder by default. ``''`` keeps none.
        num_procs: Processes for planning; as many as cores by default.
        check_images: Whether image files are looked at (there, whole, of the annotated size) before a plan is made.
        negatives: Options of negative chips, see ``NegativeOptions.build``; ``None`` for none. The plan holds a pool of
            them, after the positive chips and never drawn anew; ``ChipSampler`` takes a few of them per pass.

    Raises:
        ValueError: If an option, the annotation file or the proposals file is invalid, image files are missing,
            truncated or of another size, masks are loaded and there are none, or there is no positive chip at all.
    """

    negatives: NegativeOptions | None = None

    def __init__(
        self,
        dataset: dict | Any,
        generator: dict,
        pipeline: Sequence,
        flip_prob: float = 0.5,
        redraw: bool = True,
        cache_dir: str | None = None,
        num_procs: int | None = None,
        check_images: bool = True,
        negatives: dict | None = None,
    ) -> None:
        if not 0 <= flip_prob <= 1:
            raise ValueError(f'ChipDataset.flip_prob must be in [0, 1], got {flip_prob}')
        if num_procs is not None and num_procs < 1:
            raise ValueError(f'ChipDataset.num_procs must be at least 1, got {num_procs}')
        self.dataset = _build_inner(dataset) if isinstance(dataset, dict) else dataset
        self.generator_cfg = ConfigDict(generator).to_dict()
        self.generator = TASK_UTILS.build(generator)
        self.pipeline = Compose(pipeline)
        self.masks = loaded_masks(self.pipeline)
        self.flip_prob = flip_prob
        self.redraw = redraw
        self.cache_dir = default_cache_dir() if cache_dir is None else Path(cache_dir) if cache_dir else None
        self.num_procs = num_procs
        self.check_images = check_images
        self.negatives = None if negatives is None else NegativeOptions.build(negatives, self.generator)
        self._plan: ChipPlan | None = None
        self._drawn: dict[tuple[int, ...], list[Chip]] = {}

    @property
    def metainfo(self) -> dict:
        """Meta information of the inner dataset: class names, palette."""
        return self.dataset.metainfo

    @property
    def plan(self) -> ChipPlan:
        """The plan; made or loaded on first use."""
        self.full_init()
        return self._plan

    def full_init(self) -> None:
        """Load the annotations and the plan. On several ranks the first plans, the others read what it kept."""
        if self._plan is not None:
            return
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()
        images = [self._objects_of(i) for i in range(len(self.dataset))]
        key = plan_key(self.generator_cfg, images, self.negatives and self.negatives.key(), self._checked())
        path = None if self.cache_dir is None else self.cache_dir / f'{key}.npz'
        failure: list[Any] = [None]
        if is_main_process():
            try:
                self._plan = cached_plan(path, key, lambda: self._make_plan(images))
                self._report()
            except Exception as error:
                failure = [error]
        # A failure on the first rank must end all of them, not leave them waiting.
        broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]
        if self._plan is None:
            self._plan = cached_plan(path, key, lambda: self._make_plan(images))

    def _has_coco_file(self) -> bool:
        # A file behind a storage backend is not looked at.
        return is_coco_dataset(self.dataset) and os.path.isfile(getattr(self.dataset, 'ann_file', ''))

    def _check_options(self) -> dict[str, Any]:
        """Arguments of ``check_annotations`` beside the file."""
        keeps_ignored = getattr(self.dataset, 'keeps_ignored', False)
        return dict(classes=list(self.metainfo['classes']), keeps_ignored=keeps_ignored, masks=self.masks)

    def _checked(self) -> list:
        """What the checks before planning follow from."""
        of_file = [file_digest(self.dataset.ann_file), self._check_options()] if self._has_coco_file() else []
        return [self.masks, self.check_images, *of_file]

    def _make_plan(self, images: list[ImageObjects]) -> ChipPlan:
        left_out = []
        ann_file = getattr(self.dataset, 'ann_file', '')
        if self._has_coco_file():
            report = check_annotations(ann_file, **self._check_options())
            left_out = report.lines()
            if len(images) < report.num_images:
                missing = report.num_images - len(images)
                left_out.append(f'{missing} images left out by the filter_cfg of the dataset (empty, or too small)')
        if not images:
            raise ValueError(
                f'{ann_file or "the dataset"} has no image with objects to train on. {"; ".join(left_out)}'
            )
        if self.check_images:
            self._check_image_files()
        plan = self._plan_chips(images)
        if plan.negative.all():
            raise ValueError(
                f'no chip to train on: none of the {int(plan.totals[0])} objects of the {len(images)} images of '
                f'{ann_file or "the dataset"} is in range of a level of {self.generator_cfg}'
            )
        return replace(plan, left_out=np.array(left_out, str))

    def _plan_chips(self, images: list[ImageObjects]) -> ChipPlan:
        if self.negatives is None:
            return make_plan(self.generator_cfg, images, self.num_procs)
        images = self.negatives.attach(images, self.generator)
        return make_plan(self.generator_cfg, images, self.num_procs, self.negatives.min_proposals)

    def _report(self) -> None:
        for line in self._plan.left_out:
            print_log(f'{getattr(self.dataset, "ann_file", "")}: {line}', 'current', level=30)
        print_log(self._plan.summary(), 'current')

    def _check_image_files(self) -> None:
        faults = []
        infos = (self.dataset.get_data_info(i) for i in range(len(self.dataset)))
        for info in track(infos, 'Looking at the image files', total=len(self.dataset), transient=True):
            # Files behind a storage backend are left to the loading transform.
            if '://' not in info['img_path']:
                fault = check_image_file(info['img_path'], info['width'], info['height'])
                if fault:
                    faults.append(f'{info["img_path"]} {fault}')
        if faults:
            more = f' and {len(faults) - 5} more' if len(faults) > 5 else ''
            raise ValueError(f'{len(faults)} of {len(self.dataset)} image files: ' + '; '.join(faults[:5]) + more)

    def _info_of(self, image: int) -> dict:
        """The inner dataset's data info; objects whose mask cannot be used, where masks are loaded, are ignored."""
        info = self.dataset.get_data_info(image)
        ignore_objects_without_mask(info, self.masks)
        return info

    def _objects_of(self, image: int, info: dict | None = None) -> ImageObjects:
        info = self._info_of(image) if info is None else info
        boxes, ignored = objects_of_image(info)
        wh, image_id = (info['width'], info['height']), str(info.get('img_id', ''))
        return ImageObjects(wh, boxes[~ignored], info['img_path'], image_id)

    def __len__(self) -> int:
        return len(self.plan)

    @property
    def num_images(self) -> int:
        """Images of the inner dataset, with or without chips."""
        return len(self.dataset)

    @property
    def view_sizes_wh(self) -> np.ndarray:
        """(C, 2) view sizes of the planned chips; those of an epoch's own draw are the same."""
        return self.plan.size_wh

    def chip_at(self, index: int | tuple, info: dict | None = None) -> Chip:
        """The chip of an index, in the draw of its epoch, flipped or not.

        Args:
            index: Number of the chip, or a ``ChipIndex``.
            info: Data info of the chip's image, where it is at hand; it saves reading it once more.
        """
        number, epoch, seed = index if isinstance(index, tuple) else ChipIndex(index)
        plan = self.plan
        drawn = self._draw(seed, epoch, number, info) if self.redraw and not plan.negative[number] else []
        if drawn:
            chip = drawn[int(plan.slot[number]) % len(drawn)]
        else:
            chip = Chip(plan.xyxy[number].tolist(), plan.size_wh[number].tolist())
        # The trailing numbers keep this stream apart from those of the chips and of the transforms.
        flip = rng_of((seed, epoch, number, 1)).random() < self.flip_prob
        return chip.flipped() if flip else chip

    def _draw(self, seed: int, epoch: int, number: int, info: dict | None) -> list[Chip]:
        """All chips of an epoch of the image and level of one chip; empty where the planned ones stand."""
        image, level = int(self.plan.image[number]), int(self.plan.level[number])
        key = seed, epoch, image, level
        if key not in self._drawn:
            if len(self._drawn) >= MAX_REMEMBERED:
                del self._drawn[next(iter(self._drawn))]
            self._drawn[key] = self._draw_anew(key, int(self.plan.slots[number]), self._objects_of(image, info))
        return self._drawn[key]

    def _draw_anew(self, key: tuple[int, int, int, int], slots: int, objects: ImageObjects) -> list[Chip]:
        for draw in range(MAX_DRAWS):
            rng = rng_of((*key, draw))
            chips = self.generator.plan_level(key[-1], objects.image_wh, objects.boxes_xyxy, rng)
            if len(chips) <= slots:
                return chips
        return []

    def get_data_info(self, index: int | tuple) -> dict:
        """The inner dataset's data info of the chip's image, plus ``chip`` and ``scale_range``."""
        number = index[0] if isinstance(index, tuple) else index
        info = self._info_of(int(self.plan.image[number]))
        info['chip'] = self.chip_at(index, info)
        info['scale_range'] = tuple(self.plan.view_range[number].tolist())
        return info

    def __getitem__(self, index: int | tuple) -> Any:
        info = self.get_data_info(index)
        number, epoch, seed = index if isinstance(index, tuple) else ChipIndex(index)
        with global_numbers_of((seed, epoch, number, 2)) if draws_numbers(self.pipeline) else nullcontext():
            sample = self.pipeline(info)
        if sample is None:
            raise ValueError(
                f'the pipeline dropped chip {number} of {info["img_path"]}; every chip drawn must reach the network, '
                'so leave out transforms that drop samples (FilterAnnotations)'
            )
        return sample


def _build_inner(cfg: dict) -> Any:
    """Build the inner dataset; where it fails over a bad annotation file, say what is wrong with the file instead."""
    try:
        return DATASETS.build(cfg)
    except (AssertionError, KeyError, TypeError, ValueError):
        ann_file = os.path.join(cfg.get('data_root') or '', cfg.get('ann_file') or '')
        if os.path.isfile(ann_file):
            known = getattr(DATASETS.get(cfg['type']), 'METAINFO', {})
            check_annotations(ann_file, {**known, **(cfg.get('metainfo') or {})}.get('classes'))
        raise
