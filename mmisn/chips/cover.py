"""Training chips: per level, few chips that enclose every object in range (SNIPER section 3.1; ISN section 3.3.1).

Candidate chips lie on a grid of random offset and stride and are chosen greedily; see ``candidates``.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS

from mmisn.structures import Chip, ScaleRange, scales_of_boxes

from .candidates import draw_candidates, enclosing_positions, greedy_cover
from .levels import (
    Level,
    build_level_ranges,
    build_levels,
    check_boxes,
    check_image_wh,
    check_level_gaps,
    is_whole,
    level_geometry,
)


@dataclass(frozen=True)
class LevelPlan:
    """Chips of one level of one image.

    Attributes:
        chips: Together they enclose every object in range that a chip of this level can enclose. Not flipped.
        view_range: (lower, upper) in view pixels; both belong to the range.
        in_range: Indices of the objects in range.
        not_enclosed: Those of them that fit no chip of this level, or have no area inside the image.
    """

    chips: list[Chip]
    view_range: tuple[float, float]
    in_range: np.ndarray
    not_enclosed: np.ndarray


@dataclass(frozen=True)
class CoverPlan:
    """Chips of all levels of one image.

    Attributes:
        chips: K chips, level by level. Not flipped.
        levels: (K,) index of each chip's level.
        view_ranges: Per level (lower, upper) in view pixels; both belong to the range.
        in_range: Per level the indices of the objects in range.
        not_enclosed: Per level the indices of those in range that no chip of the level can enclose.
        lost: Indices of the objects in range of some level that no chip of such a level encloses.
        out_of_range: Indices of the objects in range of no level.
    """

    chips: list[Chip]
    levels: np.ndarray
    view_ranges: list[tuple[float, float]]
    in_range: list[np.ndarray]
    not_enclosed: list[np.ndarray]
    lost: np.ndarray
    out_of_range: np.ndarray


def cover(
    image_wh: tuple[int, int],
    boxes_xyxy: np.ndarray,
    levels: Sequence[Level],
    scale_ranges: Sequence[ScaleRange],
    chip_size: int,
    stride: tuple[int, int],
    rng: np.random.Generator,
) -> CoverPlan:
    """Plan the chips of all levels of an image.

    Args:
        image_wh: Width and height of the image.
        boxes_xyxy: (N, 4) boxes to train on, in original pixels; the caller leaves crowds out. Their scale is judged as
            they are given, their enclosure after clipping them to the image.
        levels: Factors or sizes.
        scale_ranges: One range per level.
        chip_size: Longest side of a chip in view pixels.
        stride: Half-open interval of whole view pixels from which the grid's stride is drawn.
        rng: Source of stride, grid offset and ties; the plan is a deterministic function of it.

    Raises:
        ValueError: If a box is not finite or the shapes are wrong.
    """
    boxes = check_boxes(boxes_xyxy)
    plans = [
        cover_level(image_wh, boxes, level, scale_range, chip_size, stride, rng)
        for level, scale_range in zip(levels, scale_ranges)
    ]
    return join_levels(plans, len(boxes))


def join_levels(plans: Sequence[LevelPlan], num_objects: int) -> CoverPlan:
    """The plan of an image from those of its levels."""
    wanted, enclosed = np.zeros((2, num_objects), dtype=bool)
    for plan in plans:
        wanted[plan.in_range] = True
        if len(plan.not_enclosed) == 0:
            enclosed[plan.in_range] = True
        else:
            enclosed[np.setdiff1d(plan.in_range, plan.not_enclosed)] = True
    return CoverPlan(
        chips=[chip for plan in plans for chip in plan.chips],
        levels=np.repeat(np.arange(len(plans)), [len(plan.chips) for plan in plans]),
        view_ranges=[plan.view_range for plan in plans],
        in_range=[plan.in_range for plan in plans],
        not_enclosed=[plan.not_enclosed for plan in plans],
        lost=(wanted & ~enclosed).nonzero()[0],
        out_of_range=(~wanted).nonzero()[0],
    )


def cover_level(
    image_wh: tuple[int, int],
    boxes_xyxy: np.ndarray,
    level: Level,
    scale_range: ScaleRange,
    chip_size: int,
    stride: tuple[int, int],
    rng: np.random.Generator,
) -> LevelPlan:
    """Plan the chips of one level of an image; see ``cover`` for the arguments."""
    image_wh = check_image_wh(image_wh)
    boxes = check_boxes(boxes_xyxy)
    rect_wh, size_wh, view_range, original_range = level_geometry(image_wh, level, chip_size, scale_range)
    in_range = original_range.contains(scales_of_boxes(boxes)).nonzero()[0]
    lower, upper, fits = enclosing_positions(boxes[in_range], rect_wh, image_wh)
    not_enclosed = in_range[~fits]
    if len(not_enclosed):
        lower, upper = lower[fits], upper[fits]
    if len(lower) == 0:
        corners = []
    elif rect_wh == image_wh:
        corners = [(0, 0)]
    else:
        candidates = draw_candidates(image_wh, rect_wh, size_wh, lower, upper, stride, rng)
        corners = greedy_cover(candidates, rng)
    width, height = rect_wh
    chips = [Chip((x, y, x + width, y + height), size_wh) for x, y in corners]
    return LevelPlan(chips, (view_range.lower, view_range.upper), in_range, not_enclosed)


@TASK_UTILS.register_module()
class CoverChips:
    """Training chips: per level, few chips that enclose every object in range.

    With ISN's numbers the objects of one scale range are trained on, whatever the level; with a list of ranges in the
    original frame this is SNIPER's generator of positive chips.

    Args:
        factors: Levels: factors, or sizes ``(long, short)`` with the aspect ratio kept.
        scale_range: One range for all levels or a list with one per level; anything that ``ScaleRange.build`` takes.
        chip_size: Longest side of a chip in view pixels. A level of an image that is smaller is shown whole.
        stride: Half-open interval of whole view pixels; the stride of the candidate grid is drawn from it.
        max_stride: Largest stride of the network (64 for an FPN with P6); no chip size below it makes sense.

    Raises:
        ValueError: If an argument is invalid, or the number of ranges is not the number of levels.

    Example:
        >>> generator = CoverChips((4, 2, 1, 0.5, 0.25), scale_range=(16, 560))
        >>> plan = generator.plan((640, 480), np.array([[10., 20., 50., 60.]]), np.random.default_rng(0))
        >>> [chip.size_wh for chip in plan.chips]
        [(576, 576), (576, 576), (576, 480), (320, 240)]
    """

    def __init__(
        self,
        factors: Sequence[Level],
        scale_range: Any,
        chip_size: int = 576,
        stride: tuple[int, int] = (56, 60),
        max_stride: int = 64,
    ) -> None:
        self.levels = build_levels(factors)
        self.scale_ranges = build_level_ranges(scale_range, len(self.levels))
        for level_range in self.scale_ranges:
            if level_range.measure != 'sqrt_box':
                raise ValueError(f'CoverChips plans with boxes and cannot use the range {level_range}')
        if not is_whole(chip_size) or chip_size < max_stride:
            raise ValueError(
                f'CoverChips.chip_size must be an integer of at least max_stride = {max_stride}, got {chip_size!r}'
            )
        if not isinstance(stride, (list, tuple)) or len(stride) != 2 or not all(map(is_whole, stride)):
            raise ValueError(f'CoverChips.stride must be two integers (lowest, first excluded), got {stride!r}')
        if not 1 <= stride[0] < stride[1] <= chip_size + 1:
            raise ValueError(
                f'CoverChips.stride must have 1 <= lowest < first excluded <= chip_size + 1 = {chip_size + 1}, '
                f'got {stride!r}'
            )
        self.chip_size = int(chip_size)
        self.stride = int(stride[0]), int(stride[1])
        check_level_gaps(self.levels, self.scale_ranges)

    def plan(self, image_wh: tuple[int, int], boxes_xyxy: np.ndarray, rng: np.random.Generator) -> CoverPlan:
        """Plan the chips of all levels of an image; see ``cover``."""
        return cover(image_wh, boxes_xyxy, self.levels, self.scale_ranges, self.chip_size, self.stride, rng)

    def plan_level(
        self, level_index: int, image_wh: tuple[int, int], boxes_xyxy: np.ndarray, rng: np.random.Generator
    ) -> list[Chip]:
        """Draw the chips of one level of an image, the same objects covered with other chips; see ``cover_level``."""
        level, scale_range = self.levels[level_index], self.scale_ranges[level_index]
        return cover_level(image_wh, boxes_xyxy, level, scale_range, self.chip_size, self.stride, rng).chips

    def __repr__(self) -> str:
        ranges = ', '.join(map(str, dict.fromkeys(self.scale_ranges)))
        return (
            f'{type(self).__name__}(factors={self.levels}, scale_range={ranges}, chip_size={self.chip_size}, '
            f'stride={self.stride})'
        )
