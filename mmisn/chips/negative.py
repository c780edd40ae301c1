"""Negative chips: where a weak proposal network sees objects and no positive chip lies (SNIPER section 3.3).

Shape shorthand: L levels, K chips.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmisn.structures import Chip, ScaleRange, clip_boxes

from .cover import cover_level
from .levels import Level, check_boxes, check_image_wh, level_geometry

# What is counted of the proposals of a level, in the order of ``NegativePlan.counts``.
PROPOSAL_COUNTS = ('in range', 'in positive chips', 'in negative chips')


@dataclass(frozen=True)
class NegativePlan:
    """Negative chips of all levels of one image.

    Attributes:
        chips: K chips, level by level, those that hold the most proposals first. Not flipped.
        levels: (K,) index of each chip's level.
        num_proposals: (K,) proposals that the chip holds; one that several chips enclose counts for the first of them.
        counts: (L, 3) proposals of each level: in its range, of these enclosed by a positive chip of the level, and
            held by the chips above. The rest lies where a chip would hold too few, or is too long for a chip.
    """

    chips: list[Chip]
    levels: np.ndarray
    num_proposals: np.ndarray
    counts: np.ndarray


def negative_chips(
    image_wh: tuple[int, int],
    proposals: Sequence[np.ndarray],
    positive_chips: Sequence[Chip],
    positive_levels: Sequence[int],
    levels: Sequence[Level],
    scale_ranges: Sequence[ScaleRange],
    chip_size: int,
    stride: tuple[int, int],
    min_proposals: Sequence[int],
    rng: np.random.Generator,
) -> NegativePlan:
    """Cover the proposals that no positive chip encloses, and keep the chips that hold many.

    Args:
        image_wh: Width and height of the image.
        proposals: Per level (N, 4) boxes in original pixels; those out of the level's range do not count.
        positive_chips: The positive chips of the image.
        positive_levels: Index of the level of each of them.
        levels: Factors or sizes.
        scale_ranges: One range per level.
        chip_size: Longest side of a chip in view pixels.
        stride: Half-open interval of whole view pixels from which the grid's stride is drawn.
        min_proposals: Per level the fewest proposals for which a chip is kept.
        rng: Source of stride, grid offset and ties; the plan is a deterministic function of it.

    Raises:
        ValueError: If a box is not finite, or there is not one list of proposals and one minimum per level.
    """
    if not len(proposals) == len(levels) == len(min_proposals):
        raise ValueError(
            f'{len(levels)} levels need as many lists of proposals and minima, got {len(proposals)} and '
            f'{len(min_proposals)}'
        )
    image_wh = check_image_wh(image_wh)
    chips, held, counts = [], [], []
    for number, (level, scale_range, fewest) in enumerate(zip(levels, scale_ranges, min_proposals)):
        original_range = level_geometry(image_wh, level, chip_size, scale_range)[3]
        boxes = clip_boxes(check_boxes(proposals[number]), image_wh)
        boxes = boxes[original_range.contains_boxes(boxes)]
        missed = boxes[~_enclosed_by_any(boxes, [c for c, i in zip(positive_chips, positive_levels) if i == number])]
        plan = cover_level(image_wh, missed, level, scale_range, chip_size, stride, rng)
        num_held = _count_held(np.delete(missed, plan.not_enclosed, axis=0), plan.chips)
        kept = num_held >= fewest
        chips.append([chip for chip, keep in zip(plan.chips, kept) if keep])
        held.append(num_held[kept])
        counts.append((len(boxes), len(boxes) - len(missed), int(num_held[kept].sum())))
    return NegativePlan(
        chips=[chip for of_level in chips for chip in of_level],
        levels=np.repeat(np.arange(len(levels)), [len(of_level) for of_level in chips]),
        num_proposals=np.concatenate(held),
        counts=np.array(counts, np.int64),
    )


def _enclosed_by_any(boxes_xyxy: np.ndarray, chips: Sequence[Chip]) -> np.ndarray:
    enclosed = np.zeros(len(boxes_xyxy), bool)
    for chip in chips:
        enclosed |= chip.encloses(boxes_xyxy)
    return enclosed


def _count_held(boxes_xyxy: np.ndarray, chips: Sequence[Chip]) -> np.ndarray:
    """How many boxes each chip is the first to enclose; some chip encloses each box."""
    if not chips:
        return np.zeros(0, np.int64)
    enclosing = np.stack([chip.encloses(boxes_xyxy) for chip in chips])
    return np.bincount(enclosing.argmax(axis=0), minlength=len(chips))
