"""What a level of an image pyramid is, and which rectangle and size its chips have.

A level is a number, the factor by which both sides of the image are multiplied (ISN's 4, 2, 1, 0.5, 0.25), or a pair
``(long, short)`` as in MMDetection's configs: the image is resampled as large as fits, its aspect ratio kept. A limit
on the long side alone, as SNIPER's coarsest level has it, is ``(512, 512)``.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from numbers import Real
from typing import Any

import numpy as np
from mmcv import rescale_size

from mmisn.structures import Chip, ScaleRange, is_range_list, warn_of_scale_gaps

Level = float | tuple[int, int]


def build_level(level: Any) -> Level:
    """Check a level.

    Args:
        level: A factor, or a pair of whole numbers of pixels.

    Returns:
        A float, or a pair of ints, the longer first.

    Raises:
        ValueError: If a factor is not positive and finite, or a size is not a pair of positive integers.
    """
    if isinstance(level, (list, tuple)):
        if len(level) != 2 or not all(map(is_whole, level)):
            raise ValueError(f'the size of a level must be two integers (long, short), got {level!r}')
        if min(level) < 1:
            raise ValueError(f'the sides of a level must be at least 1 px, got {level!r}')
        return int(max(level)), int(min(level))
    if isinstance(level, bool) or not isinstance(level, Real):
        raise ValueError(f'a level is a factor or a size (long, short), got {level!r}')
    if not 0 < level < math.inf:
        raise ValueError(f'the factor of a level must be positive and finite, got {level!r}')
    return float(level)


def is_whole(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value) and value == int(value)


def build_levels(levels: Any) -> tuple[Level, ...]:
    """Check a list of levels; see ``build_level``.

    Raises:
        ValueError: If there are none, or ``levels`` is no list or tuple.
    """
    if not isinstance(levels, (list, tuple)) or not levels:
        raise ValueError(f'levels must be a non-empty list of factors or sizes, got {levels!r}')
    return tuple(build_level(level) for level in levels)


def build_level_ranges(scale_range: Any, num_levels: int) -> tuple[ScaleRange, ...]:
    """One range per level.

    Args:
        scale_range: Anything that ``ScaleRange.build`` takes, for all levels, or a list with one such per level.
        num_levels: Number of levels.

    Raises:
        ValueError: If a list of ranges has another length.
    """
    if not is_range_list(scale_range):
        return (ScaleRange.build(scale_range),) * num_levels
    if len(scale_range) != num_levels:
        raise ValueError(
            f'{len(scale_range)} scale ranges for {num_levels} levels; give one per level, or one for all of them'
        )
    return tuple(ScaleRange.build(r) for r in scale_range)


def level_factor(image_wh: tuple[int, int], level: Level) -> float:
    """View pixels per original pixel of a level, before sizes are rounded."""
    return rescale_size(image_wh, level, return_scale=True)[1]


def level_size(image_wh: tuple[int, int], level: Level) -> tuple[int, int]:
    """Width and height of the whole image at a level, the same as MMDetection's ``Resize`` makes it."""
    width, height = rescale_size(image_wh, level)
    return max(1, width), max(1, height)


def level_chip_shape(
    image_wh: tuple[int, int], level: Level, chip_size: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    """The shape that all chips of one level of one image share.

    Per axis: an image that fits the chip is shown whole; else the chip is ``chip_size`` view pixels long.

    Args:
        image_wh: Width and height of the original image.
        level: A factor or a size.
        chip_size: Longest side of a chip in view pixels.

    Returns:
        ``rect_wh``, sides of the rectangle in original pixels, and ``size_wh``, sides of the view.
    """
    factor = level_factor(image_wh, level)
    rect, size = [], []
    for side, resampled in zip(image_wh, level_size(image_wh, level)):
        fits = resampled <= chip_size
        rect.append(side if fits else min(side, max(1, int(chip_size / factor + 0.5))))
        size.append(resampled if fits else chip_size)
    return tuple(rect), tuple(size)


@lru_cache(maxsize=4096)
def level_geometry(
    image_wh: tuple[int, int], level: Level, chip_size: int, scale_range: ScaleRange
) -> tuple[tuple[int, int], tuple[int, int], ScaleRange, ScaleRange]:
    """Shape and range of the chips of one level of one image.

    The range in original pixels is derived from the one in view pixels, whatever frame ``scale_range`` has: training is
    given the latter and derives the former, so that both judge an object by the same two floating point numbers.

    Returns:
        ``rect_wh`` and ``size_wh`` of ``level_chip_shape``, and the range in view and in original pixels.
    """
    rect_wh, size_wh = level_chip_shape(image_wh, level, chip_size)
    chip = Chip.full(rect_wh, size_wh)
    view_range = scale_range.in_view(chip)
    return rect_wh, size_wh, view_range, view_range.in_original(chip)


def check_level_gaps(
    levels: Sequence[Level], ranges: Sequence[ScaleRange], image_wh: tuple[int, int] = (640, 480)
) -> list[tuple[float, float]]:
    """Warn of objects whose scale lies between two levels' ranges, so that none detects them.

    Args:
        levels: Factors or sizes.
        ranges: One range per level.
        image_wh: Size of a usual image; what a size makes of scales depends on it.

    Returns:
        The open intervals of scales in original pixels that no range holds.
    """
    in_original = [r.in_original_at(level_factor(image_wh, level)) for level, r in zip(levels, ranges)]
    what = f'no level of {list(levels)} (image of {image_wh[0]}x{image_wh[1]})'
    return warn_of_scale_gaps(in_original, what)


def check_image_wh(image_wh: Sequence[int]) -> tuple[int, int]:
    """Width and height as two ints.

    Raises:
        ValueError: If a side is below 1 px.
    """
    width, height = int(image_wh[0]), int(image_wh[1])
    if width < 1 or height < 1:
        raise ValueError(f'an image must be at least 1x1 px, got width, height = {tuple(image_wh)}')
    return width, height


def check_boxes(boxes_xyxy: np.ndarray) -> np.ndarray:
    """Boxes as an (N, 4) float64 array.

    Raises:
        ValueError: If the shape is another or a coordinate is not finite.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64)
    if boxes.size == 0:
        return boxes.reshape(0, 4)
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f'boxes must be (N, 4) xyxy, got shape {boxes.shape}')
    if not np.isfinite(boxes).all():
        raise ValueError(f'boxes must be finite, got {boxes[~np.isfinite(boxes).all(axis=1)][0].tolist()}')
    return boxes


def parse_level(text: str) -> Level:
    """A level as typed: a factor such as ``0.5``, or a size such as ``1333x800``."""
    if 'x' in text:
        long_side, short_side = text.split('x')
        return int(long_side), int(short_side)
    return float(text)


def level_name(level: Level) -> str:
    """A level in a word: ``x0.5`` for a factor, ``1333x800`` for a size."""
    return f'x{level:g}' if isinstance(level, float) else f'{level[0]}x{level[1]}'
