"""The plan of a chip dataset: which chips an epoch holds. Made once, kept on disk.

Shape shorthand: I images, C chips.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS
from mmengine.logging import print_log
from rich.progress import track

from mmisn.structures import clip_boxes

# Part of the cache key: raise it when the arrays or their meaning change.
PLAN_FORMAT = 1
# The plan's own draw of grid offsets, strides and ties; epochs draw anew from the sampler's seed.
PLAN_SEED = 0
# Below this many images, starting processes costs more than it saves.
MIN_IMAGES_PER_PROCESS = 500


@dataclass(frozen=True)
class ImageObjects:
    """What planning needs to know of one image.

    Attributes:
        image_wh: Width and height in pixels.
        boxes_xyxy: (N, 4) float64 boxes of the objects that may be trained on, clipped to the image.
        img_path: The image file.
    """

    image_wh: tuple[int, int]
    boxes_xyxy: np.ndarray
    img_path: str = ''


def objects_of_image(info: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Boxes and ignore flags of a data info of an mmdet dataset.

    Args:
        info: With ``width``, ``height`` and ``instances``.

    Returns:
        (N, 4) float64 boxes in original pixels, clipped to the image, as chips are planned with them, and (N,) ignore
        flags.
    """
    # float32 first, as LoadAnnotations does, so that planning and training judge the very same numbers.
    boxes = np.array([i['bbox'] for i in info['instances']], np.float32).reshape(-1, 4)
    ignored = np.array([bool(i.get('ignore_flag')) for i in info['instances']], bool)
    return clip_boxes(boxes.astype(np.float64), (info['width'], info['height'])), ignored


@dataclass(frozen=True)
class ChipPlan:
    """All chips of a dataset, and what became of its objects.

    Attributes:
        image: (C,) index of the chip's image.
        level: (C,) index of the generator's level.
        slot: (C,) number of the chip among those of its image and level, from 0.
        slots: (C,) how many chips its image and level have.
        xyxy: (C, 4) rectangles in original pixels.
        size_wh: (C, 2) view sizes in pixels.
        view_range: (C, 2) scale range in view pixels.
        in_range: (L,) objects in the range of each level, summed over images.
        not_enclosed: (L,) of these, the objects that no chip of that level encloses.
        totals: (3,) objects, objects in no level's range, objects in some range that no chip of any level encloses.
        left_out: Sentences that say how many annotations of the file never became objects, and why.
    """

    image: np.ndarray
    level: np.ndarray
    slot: np.ndarray
    slots: np.ndarray
    xyxy: np.ndarray
    size_wh: np.ndarray
    view_range: np.ndarray
    in_range: np.ndarray
    not_enclosed: np.ndarray
    totals: np.ndarray
    left_out: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def summary(self) -> str:
        """What was planned and what was left out, in words."""
        objects, out_of_range, lost = (int(n) for n in self.totals)
        lines = [
            f'{len(self)} chips of {len(np.unique(self.image))} images for {objects} objects; '
            f'{out_of_range} objects are in range at no level, {lost} are in range but too long for a chip of any level'
        ]
        for level, (in_range, missed) in enumerate(zip(self.in_range, self.not_enclosed)):
            chips = int((self.level == level).sum())
            lines.append(
                f'  level {level}: {chips} chips, {in_range} objects in range, {missed} of them not enclosable'
            )
        return '\n'.join(lines)


def plan_key(generator_cfg: dict, images: Sequence[ImageObjects]) -> str:
    """A key of everything that the plan and its checks follow from: generator, image files, their sizes and boxes."""
    digest = hashlib.sha256()
    digest.update(json.dumps([PLAN_FORMAT, PLAN_SEED, generator_cfg], sort_keys=True, default=repr).encode())
    digest.update(np.array([(*o.image_wh, len(o.boxes_xyxy)) for o in images], np.int64).tobytes())
    for objects in images:
        digest.update(objects.img_path.encode())
        digest.update(np.ascontiguousarray(objects.boxes_xyxy, np.float64).tobytes())
    return digest.hexdigest()[:32]


def make_plan(generator_cfg: dict, images: Sequence[ImageObjects], num_procs: int | None = None) -> ChipPlan:
    """Plan the chips of all images, in several processes where that pays, with a progress bar.

    The result does not depend on the number of processes.

    Args:
        generator_cfg: Config of a training chip generator (registry ``TASK_UTILS``).
        images: The dataset's images, in order.
        num_procs: Number of processes; by default the cores this process may use.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    num_procs = min(num_procs or cores, max(1, len(images) // MIN_IMAGES_PER_PROCESS))
    chunk = max(1, min(1000, -(-len(images) // (4 * num_procs))))
    tasks = [(generator_cfg, first, images[first : first + chunk]) for first in range(0, len(images), chunk)]
    if num_procs == 1:
        return _join(list(_progress(map(_plan_chunk, tasks), len(tasks))))
    with ProcessPoolExecutor(num_procs) as pool:
        return _join(list(_progress(pool.map(_plan_chunk, tasks), len(tasks))))


def _progress(parts: Iterable, total: int) -> Iterable:
    return track(parts, 'Planning chips', total=total, transient=True)


def _plan_chunk(task: tuple[dict, int, Sequence[ImageObjects]]) -> ChipPlan:
    generator_cfg, first, images = task
    generator = TASK_UTILS.build(generator_cfg)
    return _join([_plan_image(generator, first + i, objects) for i, objects in enumerate(images)])


def _plan_image(generator, image: int, objects: ImageObjects) -> ChipPlan:
    rng = np.random.default_rng((PLAN_SEED, image))
    plan = generator.plan(objects.image_wh, objects.boxes_xyxy, rng)
    level = np.asarray(plan.levels, np.int64).reshape(-1)
    slots = np.bincount(level, minlength=len(plan.view_ranges)) if len(level) else np.zeros(0, np.int64)
    slot = np.zeros(len(level), np.int64)
    for number in np.unique(level):
        slot[level == number] = np.arange(slots[number])
    view_ranges = np.asarray(plan.view_ranges, np.float64).reshape(-1, 2)
    return ChipPlan(
        image=np.full(len(level), image, np.int64),
        level=level,
        slot=slot,
        slots=slots[level] if len(level) else slots,
        xyxy=np.array([c.xyxy for c in plan.chips], np.int64).reshape(-1, 4),
        size_wh=np.array([c.size_wh for c in plan.chips], np.int64).reshape(-1, 2),
        view_range=view_ranges[level],
        in_range=np.array([len(i) for i in plan.in_range], np.int64),
        not_enclosed=np.array([len(i) for i in plan.not_enclosed], np.int64),
        totals=np.array([len(objects.boxes_xyxy), len(plan.out_of_range), len(plan.lost)], np.int64),
        left_out=np.array([], str),
    )


def _join(plans: Sequence[ChipPlan]) -> ChipPlan:
    sums = ('in_range', 'not_enclosed', 'totals')
    return ChipPlan(
        **{
            f.name: (np.sum if f.name in sums else np.concatenate)([getattr(p, f.name) for p in plans], axis=0)
            for f in fields(ChipPlan)
        }
    )


def save_plan(plan: ChipPlan, path: Path, key: str) -> None:
    """Write a plan so that nobody ever sees a half-written file: beside the target first, then renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix='.partial')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            arrays = {f.name: getattr(plan, f.name) for f in fields(ChipPlan)}
            np.savez_compressed(file, key=np.array(key), **arrays)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def load_plan(path: Path, key: str) -> ChipPlan | None:
    """Read a plan; ``None`` where there is none, or (with a warning) where the file is damaged."""
    if not path.is_file():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if str(arrays['key']) != key:
                raise ValueError(f'it belongs to another dataset or generator (key {arrays["key"]})')
            return ChipPlan(**{f.name: arrays[f.name] for f in fields(ChipPlan)})
    except Exception as error:  # a damaged zip file raises nearly anything
        print_log(f'The chip plan {path} cannot be used and is made anew: {error}', 'current', level=30)
        return None


def cached_plan(path: Path | None, key: str, make: Callable[[], ChipPlan]) -> ChipPlan:
    """Load the plan at ``path``, or make it and keep it there; an unwritable folder costs a warning only."""
    plan = load_plan(path, key) if path is not None else None
    if plan is None:
        plan = make()
        if path is not None:
            try:
                save_plan(plan, path, key)
            except OSError as error:
                print_log(f'The chip plan could not be kept at {path}: {error}', 'current', level=30)
    return plan
