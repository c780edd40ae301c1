"""The plan of a chip dataset: which chips an epoch holds. Made once, kept on disk.

Shape shorthand: I images, C chips.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS
from mmengine.logging import print_log
from rich.progress import track

from mmisn.chips import PROPOSAL_COUNTS, negative_chips
from mmisn.structures import Chip, clip_boxes

from .npz import write_npz

# Part of the cache key: raise it when the arrays or their meaning change.
PLAN_FORMAT = 3
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
        img_id: The image's id, as a string.
        proposals: Per level the boxes, in original pixels, that a proposal network found; for negative chips.
    """

    image_wh: tuple[int, int]
    boxes_xyxy: np.ndarray
    img_path: str = ''
    img_id: str = ''
    proposals: Sequence[np.ndarray] | None = None


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
    """All chips of a dataset, and what became of its objects. Negative chips come after all positive ones.

    Attributes:
        image: (C,) index of the chip's image.
        level: (C,) index of the generator's level.
        slot: (C,) number of the chip among the positive (or negative) ones of its image and level, from 0.
        slots: (C,) how many of these there are.
        xyxy: (C, 4) rectangles in original pixels.
        size_wh: (C, 2) view sizes in pixels.
        view_range: (C, 2) scale range in view pixels.
        negative: (C,) whether the chip is one of the pool of negative chips, of which each pass draws a few.
        in_range: (L,) objects in the range of each level, summed over images.
        not_enclosed: (L,) of these, the objects that no chip of that level encloses.
        totals: (3,) objects, objects in no level's range, objects in some range that no chip of any level encloses.
        proposals: (L, 3) proposals of each level, counted as in ``NegativePlan``; 0 without negative chips.
        left_out: Sentences that say how many annotations of the file never became objects, and why.
    """

    image: np.ndarray
    level: np.ndarray
    slot: np.ndarray
    slots: np.ndarray
    xyxy: np.ndarray
    size_wh: np.ndarray
    view_range: np.ndarray
    negative: np.ndarray
    in_range: np.ndarray
    not_enclosed: np.ndarray
    totals: np.ndarray
    proposals: np.ndarray
    left_out: np.ndarray

    def __len__(self) -> int:
        return len(self.image)

    def summary(self) -> str:
        """What was planned and what was left out, in words."""
        objects, out_of_range, lost = (int(n) for n in self.totals)
        positive = ~self.negative
        lines = [
            f'{positive.sum()} chips of {len(np.unique(self.image[positive]))} images for {objects} objects; '
            f'{out_of_range} objects are in range at no level, {lost} are in range but too long for a chip of any level'
        ]
        for level, (in_range, missed) in enumerate(zip(self.in_range, self.not_enclosed)):
            chips = int((self.level[positive] == level).sum())
            lines.append(
                f'  level {level}: {chips} chips, {in_range} objects in range, {missed} of them not enclosable'
            )
        return '\n'.join(lines + self._summary_of_negatives())

    def _summary_of_negatives(self) -> list[str]:
        if not self.proposals.any():
            return []
        images = len(np.unique(self.image[self.negative]))
        lines = [f'{self.negative.sum()} negative chips of {images} images to draw from']
        for level, counts in enumerate(self.proposals.tolist()):
            chips = int((self.level[self.negative] == level).sum())
            spelled = ', '.join(f'{number} {what}' for number, what in zip(counts, PROPOSAL_COUNTS))
            lines.append(f'  level {level}: {chips} negative chips; proposals: {spelled}')
        return lines


def plan_key(
    generator_cfg: dict,
    images: Sequence[ImageObjects],
    negatives: list | None = None,
    checked: list | None = None,
) -> str:
    """A key of everything that the plan and its checks follow from, but for what image files hold.

    Reading all of these for each training would take too long; loading and ``CropChip`` meet a file that was changed or
    removed after planning.

    Args:
        generator_cfg: Config of the chip generator.
        images: The dataset's images: paths, sizes and boxes.
        negatives: What the negative chips follow from, see ``NegativeOptions.key``.
        checked: What the checks follow from: the annotation file's digest, and what is asked of it.
    """
    digest = hashlib.sha256()
    parts = [PLAN_FORMAT, PLAN_SEED, generator_cfg, checked]
    if negatives is not None:
        parts += [negatives, [objects.img_id for objects in images]]
    digest.update(json.dumps(parts, sort_keys=True, default=repr).encode())
    digest.update(np.array([(*o.image_wh, len(o.boxes_xyxy)) for o in images], np.int64).tobytes())
    for objects in images:
        digest.update(objects.img_path.encode())
        digest.update(np.ascontiguousarray(objects.boxes_xyxy, np.float64).tobytes())
    return digest.hexdigest()[:32]


def make_plan(
    generator_cfg: dict,
    images: Sequence[ImageObjects],
    num_procs: int | None = None,
    min_proposals: Sequence[int] | None = None,
) -> ChipPlan:
    """Plan the chips of all images, in several processes where that pays, with a progress bar.

    The result does not depend on the number of processes.

    Args:
        generator_cfg: Config of a training chip generator (registry ``TASK_UTILS``).
        images: The dataset's images, in order.
        num_procs: Number of processes; by default the cores this process may use.
        min_proposals: Per level the fewest proposals of a negative chip; ``None`` for no negative chips. Else the
            images have proposals, and the generator is a ``CoverChips``.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
    num_procs = min(num_procs or cores, max(1, len(images) // MIN_IMAGES_PER_PROCESS))
    chunk = max(1, min(1000, -(-len(images) // (4 * num_procs))))
    firsts = range(0, len(images), chunk)
    tasks = [(generator_cfg, first, images[first : first + chunk], min_proposals) for first in firsts]
    if num_procs == 1:
        return _positives_first(_join(list(_progress(map(_plan_chunk, tasks), len(tasks)))))
    with ProcessPoolExecutor(num_procs) as pool:
        return _positives_first(_join(list(_progress(pool.map(_plan_chunk, tasks), len(tasks)))))


def _progress(parts: Iterable, total: int) -> Iterable:
    return track(parts, 'Planning chips', total=total, transient=True)


def _plan_chunk(task: tuple[dict, int, Sequence[ImageObjects], Sequence[int] | None]) -> ChipPlan:
    generator_cfg, first, images, min_proposals = task
    generator = TASK_UTILS.build(generator_cfg)
    return _join([_plan_image(generator, first + i, objects, min_proposals) for i, objects in enumerate(images)])


def _plan_image(generator, image: int, objects: ImageObjects, min_proposals: Sequence[int] | None) -> ChipPlan:
    plan = generator.plan(objects.image_wh, objects.boxes_xyxy, np.random.default_rng((PLAN_SEED, image)))
    chips, parts = list(plan.chips), [np.asarray(plan.levels, np.int64).reshape(-1)]
    proposals = np.zeros((len(plan.view_ranges), len(PROPOSAL_COUNTS)), np.int64)
    if min_proposals is not None:
        found, proposals = _plan_negatives(generator, image, objects, chips, parts[0], min_proposals)
        chips += found[0]
        parts.append(found[1])
    level = np.concatenate(parts)
    slot, slots = (np.concatenate(numbers) for numbers in zip(*map(_number_slots, parts)))
    return ChipPlan(
        image=np.full(len(level), image, np.int64),
        level=level,
        slot=slot,
        slots=slots,
        xyxy=np.array([c.xyxy for c in chips], np.int64).reshape(-1, 4),
        size_wh=np.array([c.size_wh for c in chips], np.int64).reshape(-1, 2),
        view_range=np.asarray(plan.view_ranges, np.float64).reshape(-1, 2)[level],
        negative=np.arange(len(level)) >= len(parts[0]),
        in_range=np.array([len(i) for i in plan.in_range], np.int64),
        not_enclosed=np.array([len(i) for i in plan.not_enclosed], np.int64),
        totals=np.array([len(objects.boxes_xyxy), len(plan.out_of_range), len(plan.lost)], np.int64),
        proposals=proposals,
        left_out=np.array([], str),
    )


def _plan_negatives(
    generator,
    image: int,
    objects: ImageObjects,
    positive: Sequence[Chip],
    positive_levels: np.ndarray,
    min_proposals: Sequence[int],
) -> tuple[tuple[list[Chip], np.ndarray], np.ndarray]:
    """Negative chips of an image with their levels, and the counts of its proposals."""
    plan = negative_chips(
        objects.image_wh,
        objects.proposals,
        positive,
        positive_levels,
        generator.levels,
        generator.scale_ranges,
        generator.chip_size,
        generator.stride,
        min_proposals,
        # A stream of its own, so that the positive chips are the same with negative ones and without.
        np.random.default_rng((PLAN_SEED, image, 1)),
    )
    return (plan.chips, plan.levels), plan.counts


def _number_slots(level: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Number of each chip among those of its level, and how many there are."""
    slot = np.zeros(len(level), np.int64)
    slots = np.zeros(len(level), np.int64)
    for number in np.unique(level):
        of_level = level == number
        slots[of_level] = of_level.sum()
        slot[of_level] = np.arange(of_level.sum())
    return slot, slots


def _join(plans: Sequence[ChipPlan]) -> ChipPlan:
    sums = ('in_range', 'not_enclosed', 'totals', 'proposals')
    return ChipPlan(
        **{
            f.name: (np.sum if f.name in sums else np.concatenate)([getattr(p, f.name) for p in plans], axis=0)
            for f in fields(ChipPlan)
        }
    )


def _positives_first(plan: ChipPlan) -> ChipPlan:
    if not plan.negative.any():
        return plan
    order = np.argsort(plan.negative, kind='stable')
    of_chips = ('image', 'level', 'slot', 'slots', 'xyxy', 'size_wh', 'view_range', 'negative')
    return replace(plan, **{name: getattr(plan, name)[order] for name in of_chips})


def save_plan(plan: ChipPlan, path: Path, key: str) -> None:
    """Write a plan so that nobody ever sees a half-written file: beside the target first, then renamed."""
    write_npz(path, dict(key=np.array(key), **{f.name: getattr(plan, f.name) for f in fields(ChipPlan)}))


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
