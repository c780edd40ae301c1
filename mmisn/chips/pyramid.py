"""The whole image at fixed levels, in tiles where a level is too large.

Testing on an image pyramid (ISN section 3.3.1), and SNIP's training: each image at the levels at which it has objects
in range (SNIP section 5).
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS

from mmisn.structures import Chip, ScaleRange, scales_of_boxes

from .cover import CoverPlan, LevelPlan, join_levels
from .levels import (
    Level,
    build_level_ranges,
    build_levels,
    check_boxes,
    check_image_wh,
    check_level_gaps,
    is_whole,
    level_geometry,
    level_size,
)

# Starts and length of the tiles along an axis in original pixels, and their length in view pixels.
_Axis = tuple[list[int], int, int]


def pyramid_views(
    image_wh: tuple[int, int],
    levels: Sequence[Level],
    flips: Sequence[bool] = (False,),
    max_pixels: int | None = None,
    overlap: int | None = None,
) -> list[Chip]:
    """The views of a multi-scale test.

    Args:
        image_wh: Width and height of the image.
        levels: Factors or sizes.
        flips: For each level, one view per entry.
        max_pixels: A level with more view pixels is cut into tiles of at most that many; ``None`` for never.
        overlap: View pixels that neighbouring tiles share, at least; an object up to that long lies whole in some tile.
            ``None`` for a quarter of the tile's side.

    Returns:
        Chips; levels in the order given, then tiles row by row, then flips.

    Raises:
        ValueError: If tiles of ``max_pixels`` cannot overlap by ``overlap``.
    """
    image_wh = check_image_wh(image_wh)
    views = []
    for level in levels:
        whole = Chip.full(image_wh, level_size(image_wh, level))
        too_large = max_pixels is not None and whole.num_pixels > max_pixels
        tiles = tile_chip(whole, max_pixels, overlap) if too_large else [whole]
        views.extend(tile.flipped(flip) for tile in tiles for flip in flips)
    return views


def tile_chip(whole: Chip, max_pixels: int, overlap: int | None = None) -> list[Chip]:
    """Cut a view of the whole image into overlapping tiles of equal size.

    Tiles are as near to a square as the image allows, or oblongs of at most 1:2 where fewer of these reach; among those
    that need the same number of tiles, the smallest.

    Args:
        whole: Starts at the image's top left corner; not flipped.
        max_pixels: Largest number of view pixels of a tile.
        overlap: See ``pyramid_views``.

    Returns:
        Chips row by row.

    Raises:
        ValueError: If tiles of ``max_pixels`` cannot overlap by ``overlap``.
    """
    axes = []
    for side, size, longest in zip(whole.wh, whole.size_wh, _longest_sides(whole.size_wh, max_pixels)):
        axis = _tile_axis(side, size, longest, overlap)
        if axis is None:
            raise ValueError(
                f'tiles of at most max_pixels = {max_pixels} view px cannot overlap by '
                f'{"a quarter" if overlap is None else overlap} px in a view of {whole.size_wh[0]}x{whole.size_wh[1]} '
                f'px of an image of {whole.wh[0]}x{whole.wh[1]} px; raise max_pixels or lower overlap'
            )
        axes.append(axis)
    (lefts, width, view_width), (tops, height, view_height) = _fewer_tiles(whole, max_pixels, overlap, axes)
    size_wh = (view_width, view_height)
    return [Chip((x, y, x + width, y + height), size_wh) for y in tops for x in lefts]


def _longest_sides(size_wh: tuple[int, int], max_pixels: int) -> tuple[int, int]:
    """Sides of the largest nearly square tile of a view."""
    width, height = size_wh
    square = math.isqrt(max_pixels)
    if height <= square:
        return min(width, max_pixels // height), height
    if width <= square:
        return width, min(height, max_pixels // width)
    return square, square


def _fewer_tiles(whole: Chip, max_pixels: int, overlap: int | None, axes: list[_Axis]) -> Sequence[_Axis]:
    """The grid of the fewest and then the smallest tiles that are not longer than twice their width, or ``axes``."""
    best, fewest = axes, (math.prod(len(a[0]) for a in axes), math.prod(a[2] for a in axes))
    # Smaller tiles than those of max_pixels need not be tried.
    least = math.ceil(whole.num_pixels / max_pixels)
    for num_x in range(1, fewest[0] + 1):
        for num_y in range(max(1, math.ceil(least / num_x)), fewest[0] // num_x + 1):
            grid = [_axis_of(*sides, num, overlap) for *sides, num in zip(whole.wh, whole.size_wh, (num_x, num_y))]
            if None in grid:
                continue
            sizes = [axis[2] for axis in grid]
            cost = (num_x * num_y, math.prod(sizes))
            if cost[1] <= max_pixels and max(sizes) <= 2 * min(sizes) and cost < fewest:
                best, fewest = grid, cost
    return best


def _tile_axis(side: int, size: int, longest: int, overlap: int | None) -> _Axis | None:
    """Cut one axis of ``side`` original and ``size`` view pixels; a tile has ``longest`` view pixels at most.

    Returns:
        ``None`` if it cannot be.
    """
    if longest >= size:
        return [0], side, size
    length = longest * side // size
    if length < 1:
        return None
    shared = _shared(length, side, size, overlap)
    if shared >= length:
        return None
    num_tiles = 1 + math.ceil((side - length) / (length - shared))
    # The same number of tiles reaches from end to end with a shorter tile, too.
    length = math.ceil((side + (num_tiles - 1) * shared) / num_tiles)
    return _placed(side, size, num_tiles, length)


def _axis_of(side: int, size: int, num_tiles: int, overlap: int | None) -> _Axis | None:
    """Cut one axis into so many tiles, as short as can be; see ``_tile_axis``."""
    if num_tiles == 1:
        return [0], side, size
    length = math.ceil(4 * side / (3 * num_tiles + 1))  # of tiles that share a quarter, before rounding
    for _ in range(2):
        shared = _shared(length, side, size, overlap)
        length = math.ceil((side + (num_tiles - 1) * shared) / num_tiles)
    return _placed(side, size, num_tiles, length) if shared < length < side else None


def _shared(length: int, side: int, size: int, overlap: int | None) -> int:
    """Original pixels that neighbouring tiles of a length share."""
    if overlap is None:
        return math.ceil(length / 4)
    if size % side == 0:
        return math.ceil(overlap * side / size)
    # Rounding changes a tile's size by up to half a view pixel, and with it its factor: hence one pixel more.
    return math.ceil((overlap + 1) * side / size)


def _placed(side: int, size: int, num_tiles: int, length: int) -> _Axis:
    starts = [i * (side - length) // (num_tiles - 1) for i in range(num_tiles)]
    return starts, length, max(1, int(length * size / side + 0.5))


def whole_level(image_wh: tuple[int, int], boxes_xyxy: np.ndarray, level: Level, scale_range: ScaleRange) -> LevelPlan:
    """Train on the whole image at a level, if it has an object in range there.

    SNIP leaves out image and size where no object is valid (section 5), since background alone would be trained on.

    Args:
        image_wh: Width and height of the image.
        boxes_xyxy: (N, 4) boxes to train on, in original pixels; the caller leaves crowds out.
        level: A factor or a size.
        scale_range: Which objects count.

    Returns:
        A plan of one chip, or of none.

    Raises:
        ValueError: If a box is not finite or the shapes are wrong.
    """
    image_wh = check_image_wh(image_wh)
    boxes = check_boxes(boxes_xyxy)
    # A chip without limit is the whole image.
    _, size_wh, view_range, original_range = level_geometry(image_wh, level, math.inf, scale_range)
    in_range = original_range.contains(scales_of_boxes(boxes)).nonzero()[0]
    chips = [Chip.full(image_wh, size_wh)] if len(in_range) else []
    return LevelPlan(chips, (view_range.lower, view_range.upper), in_range, in_range[:0])


@TASK_UTILS.register_module()
class PyramidChips:
    """The whole image at fixed levels, each with the given flips.

    Testing takes all ``views``. Training takes the levels at which the image has objects in range, and needs
    ``scale_range``: SNIP is three sizes with a range of its own for each, in original pixels::

        PyramidChips(
            factors=[(2000, 1400), (1200, 800), (800, 480)],
            scale_range=[
                dict(upper=80, frame='original'),
                dict(lower=40, upper=160, frame='original'),
                dict(lower=120, frame='original'),
            ],
        )

    Args:
        factors: Levels: factors, or sizes ``(long, short)`` with the aspect ratio kept.
        flips: For each level, one view per entry: ``(False,)``, or ``(False, True)`` for flip testing.
        max_pixels: A level with more view pixels is cut into overlapping tiles of at most that many, which bounds
            memory. A tile's edge that is no image edge cuts objects: filter with an edge margin.
        overlap: View pixels that neighbouring tiles share, at least; ``None`` for a quarter of the tile's side.
        scale_range: Which objects a level trains on: one range for all levels or a list with one per level; anything
            that ``ScaleRange.build`` takes. Tests do not read it: there the model has the ranges
            (``ScaleRangeTTAModel``, ``ChipDetector``).

    Raises:
        ValueError: If an argument is invalid, or the number of ranges is not the number of levels.
    """

    def __init__(
        self,
        factors: Sequence[Level],
        flips: Sequence[bool] = (False,),
        max_pixels: int | None = None,
        overlap: int | None = None,
        scale_range: Any = None,
    ) -> None:
        self.levels = build_levels(factors)
        self.scale_ranges = None if scale_range is None else self._build_ranges(scale_range)
        if not isinstance(flips, (list, tuple)) or not flips or any(not isinstance(flip, bool) for flip in flips):
            raise ValueError(f'PyramidChips.flips must be a non-empty list of booleans, got {flips!r}')
        self.flips = tuple(flips)
        if max_pixels is not None and not (is_whole(max_pixels) and max_pixels >= 1):
            raise ValueError(f'PyramidChips.max_pixels must be a positive integer or None, got {max_pixels!r}')
        if overlap is not None and not (is_whole(overlap) and overlap >= 0):
            raise ValueError(f'PyramidChips.overlap must be an integer >= 0 or None, got {overlap!r}')
        if overlap is not None and max_pixels is None:
            raise ValueError(f'PyramidChips.overlap = {overlap} has no effect without max_pixels; set both or neither')
        self.max_pixels = None if max_pixels is None else int(max_pixels)
        self.overlap = None if overlap is None else int(overlap)
        if scale_range is not None and (self.max_pixels is not None or self.flips != (False,)):
            raise ValueError(
                'PyramidChips with scale_range trains on whole images, which ChipDataset and GenerateChips flip: leave '
                f'out max_pixels and flips, got max_pixels={max_pixels!r} and flips={flips!r}'
            )

    def views(self, image_wh: tuple[int, int], predict: Any = None) -> list[Chip]:
        """The views of an image; see ``pyramid_views``.

        Args:
            image_wh: Width and height of the image.
            predict: Not used; what a generator that looks before it cuts would call.
        """
        return pyramid_views(image_wh, self.levels, self.flips, self.max_pixels, self.overlap)

    def plan(self, image_wh: tuple[int, int], boxes_xyxy: np.ndarray, rng: np.random.Generator) -> CoverPlan:
        """The chips to train on: the whole image at each level at which it has an object in range; see ``whole_level``.

        Args:
            image_wh: Width and height of the image.
            boxes_xyxy: (N, 4) boxes to train on, in original pixels.
            rng: Not used; nothing is random.

        Raises:
            ValueError: If the generator has no ``scale_range``.
        """
        if self.scale_ranges is None:
            raise ValueError('PyramidChips needs scale_range where it generates training chips')
        levels = zip(self.levels, self.scale_ranges)
        plans = [whole_level(image_wh, boxes_xyxy, level, scale_range) for level, scale_range in levels]
        return join_levels(plans, len(boxes_xyxy))

    def plan_level(
        self, level_index: int, image_wh: tuple[int, int], boxes_xyxy: np.ndarray, rng: np.random.Generator
    ) -> list[Chip]:
        """The chips of one level, always the same."""
        return whole_level(image_wh, boxes_xyxy, self.levels[level_index], self.scale_ranges[level_index]).chips

    def _build_ranges(self, scale_range: Any) -> tuple[ScaleRange, ...]:
        ranges = build_level_ranges(scale_range, len(self.levels))
        for level_range in ranges:
            if level_range.measure != 'sqrt_box':
                raise ValueError(f'PyramidChips trains with boxes and cannot use the range {level_range}')
        check_level_gaps(self.levels, ranges)
        return ranges

    def __repr__(self) -> str:
        ranges = None if self.scale_ranges is None else ', '.join(map(str, dict.fromkeys(self.scale_ranges)))
        return (
            f'{type(self).__name__}(factors={self.levels}, flips={self.flips}, max_pixels={self.max_pixels}, '
            f'overlap={self.overlap}, scale_range={ranges})'
        )
