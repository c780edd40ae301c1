"""Chip planning in plain Python, the yardstick of the planning benchmark: lists, loops, and no NumPy."""

import math
import random
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence

from mmisn.chips import CoverChips
from mmisn.chips.levels import level_geometry

Box = Sequence[float]
Corner = tuple[float, float]
Greedy = Callable[[Sequence[float], Sequence[float], tuple[int, int], Sequence[Box]], list[tuple[Corner, list[int]]]]


def plain_plan(
    generator: CoverChips, image_wh: tuple[int, int], boxes_xyxy: Sequence[Box], rng: random.Random, greedy: Greedy
) -> list[list[Corner]]:
    """Plan the chips of an image as ``CoverChips.plan`` does: the same ranges, grid and border positions.

    Args:
        generator: Its settings are used, not its code; only the shape of chips comes from the same function.
        image_wh: Width and height of the image.
        boxes_xyxy: N boxes.
        rng: Source of stride and grid offset.
        greedy: ``greedy_cover_reference`` or ``greedy_cover_sparse``.

    Returns:
        Per level the top left corners of the chosen chips.
    """
    chosen = []
    for level, scale_range in zip(generator.levels, generator.scale_ranges):
        rect_wh, size_wh, _, original = level_geometry(image_wh, level, generator.chip_size, scale_range)
        boxes = [b for b in boxes_xyxy if original.lower <= math.sqrt((b[2] - b[0]) * (b[3] - b[1])) <= original.upper]
        stride = rng.randrange(*generator.stride)
        boxes = [b for b in boxes if _fits(b, rect_wh, image_wh)]
        axes = [_positions(axis, image_wh, rect_wh, size_wh, stride, boxes, rng) for axis in (0, 1)]
        chosen.append([corner for corner, _ in greedy(*axes, rect_wh, boxes)])
    return chosen


def _fits(box: Box, rect_wh: tuple[int, int], image_wh: tuple[int, int]) -> bool:
    for low, high, rect, side in zip(box[:2], box[2:], rect_wh, image_wh):
        if max(math.ceil(high) - rect, 0) > min(math.floor(low), side - rect):
            return False
    return True


def _positions(axis: int, image_wh, rect_wh, size_wh, stride: int, boxes: Sequence[Box], rng) -> list[float]:
    """Ascending candidate edges of one axis: a grid, both ends, and one for each box that none of these encloses."""
    rect, limit = rect_wh[axis], image_wh[axis] - rect_wh[axis]
    if limit == 0:
        return [0]
    step = max(1.0, stride * rect / size_wh[axis])
    position, positions = rng.random() * step, [0]
    while position < limit:
        positions.append(math.floor(position))
        position += step
    positions.append(limit)
    extra = []
    for box in boxes:
        low, high = max(math.ceil(box[axis + 2]) - rect, 0), min(math.floor(box[axis]), limit)
        if positions[bisect_left(positions, low)] > high:
            extra.append(rng.randint(low, high))
    return sorted(positions + extra)


def greedy_cover_sparse(
    xs: Sequence[float], ys: Sequence[float], rect_wh: tuple[int, int], boxes_xyxy: Sequence[Box]
) -> list[tuple[Corner, list[int]]]:
    """The greedy cover of ``greedy_cover_reference``, made as fast as plain Python allows.

    Candidates that enclose nothing are never looked at, and what each of the others encloses is kept up to date.

    Args:
        xs: Ascending left edges to choose from.
        ys: Ascending top edges.
        rect_wh: Width and height of all rectangles.
        boxes_xyxy: N boxes, clipped to the image.

    Returns:
        Top left corner of each chosen rectangle, and the indices of the boxes that it was the first to enclose.
    """
    held: dict[Corner, set[int]] = {}
    corners_of = []
    for i, (x1, y1, x2, y2) in enumerate(boxes_xyxy):
        rows = ys[bisect_left(ys, y2 - rect_wh[1]) : bisect_right(ys, y1)]
        columns = xs[bisect_left(xs, x2 - rect_wh[0]) : bisect_right(xs, x1)]
        corners_of.append([(x, y) for x in columns for y in rows])
        for corner in corners_of[-1]:
            held.setdefault(corner, set()).add(i)
    chosen = []
    while held:
        best = max(held, key=lambda corner: len(held[corner]))
        covered = sorted(held[best])
        chosen.append((best, covered))
        for i in covered:
            for corner in corners_of[i]:
                left = held.get(corner)
                if left is not None:
                    left.discard(i)
                    if not left:
                        del held[corner]
    return chosen
