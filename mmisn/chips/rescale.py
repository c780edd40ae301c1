"""Recursive rescaling of whole pictures, many at a time (ScaleNet, Algorithm 1 where the window is the picture).

Frames: a chip's ``size_wh`` is what the nets see; pixels are always cut from the original, resampled by the product of
all factors so far.
"""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from mmisn.structures import Chip, crop_resample

from .pixel_rules import check_scale_maps

# Scale maps of views: (numbers of the pictures, one chip of each) -> maps, each of its chip's size.
PredictMany = Callable[[Sequence[int], Sequence[Chip]], Sequence[np.ndarray]]


@dataclass(frozen=True)
class RescalePath:
    """What the recursion has made of a picture.

    Attributes:
        chips: The views in turn; the first is the picture as it is.
        factors: The factor that each view asked for; ``None`` where it is in range or all background.
        ended: Whether the last view is in range; ``False`` where the recursion stopped at its bounds.
    """

    chips: tuple[Chip, ...]
    factors: tuple[float | None, ...]
    ended: bool

    @property
    def rescales(self) -> int:
        """How many times the picture was rescaled."""
        return len(self.chips) - 1


def rescale_recursively(
    sizes_wh: Sequence[tuple[int, int]],
    predict: PredictMany,
    rule: Any,
    max_rescales: int = 30,
    side_range: tuple[int, int] = (4, 512),
) -> list[RescalePath]:
    """Rescale pictures until their predicted scale is in range (ScaleNet, Algorithm 1 and section "MNIST").

    All pictures go through a level of the recursion together, so that ``predict`` can batch them. It ends on any maps:
    after ``max_rescales``, and at once where a view comes back.

    Args:
        sizes_wh: Width and height of the pictures.
        predict: Gives the scale maps of views.
        rule: ``RegressionRule`` or ``ClassRule``; its ``factor`` over all pixels of a view decides.
        max_rescales: Bound of the depth, >= 0; 1 is the paper's "rescaling once".
        side_range: Smallest and largest side of a view in pixels; factors are cut so that views stay inside, unless the
            picture itself is outside.

    Raises:
        ValueError: If an argument is out of its domain, or a scale map is bad (see ``check_scale_map``).
    """
    if not isinstance(max_rescales, int) or isinstance(max_rescales, bool) or max_rescales < 0:
        raise ValueError(f'max_rescales must be a whole number >= 0, got {max_rescales!r}')
    if not 1 <= side_range[0] <= side_range[1]:
        raise ValueError(f'side_range must be 1 <= smallest <= largest, got {side_range}')
    chips: list[list[Chip]] = [[Chip.full(wh)] for wh in sizes_wh]
    factors: list[list[float | None]] = [[] for _ in sizes_wh]
    total = [1.0] * len(sizes_wh)
    active = list(range(len(sizes_wh)))
    while active:
        views = [chips[i][-1] for i in active]
        maps = check_scale_maps(predict(active, views), [view.size_wh for view in views])
        following = []
        for i, scale_map in zip(active, maps):
            factor = rule.factor(scale_map, np.ones(scale_map.shape[-2:], bool))
            factors[i].append(factor)
            if factor is None or len(chips[i]) > max_rescales:
                continue
            total[i] = _next_total(sizes_wh[i], chips[i][-1].size_wh, total[i], factor, side_range)
            view = Chip.full(sizes_wh[i], _scaled(sizes_wh[i], total[i]))
            # A view that was there before would be looked at in the same way again, without end.
            if view not in chips[i]:
                chips[i].append(view)
                following.append(i)
        active = following
    return [RescalePath(tuple(c), tuple(f), f[-1] is None) for c, f in zip(chips, factors)]


def _next_total(
    size_wh: tuple[int, int], view_wh: tuple[int, int], total: float, factor: float, side_range: tuple[int, int]
) -> float:
    """Product of all factors; where it would change no pixel, as much as changes the longer side by one step."""
    following = _bounded(size_wh, total * factor, side_range)
    if _scaled(size_wh, following) != view_wh:
        return following
    stepped = (max(view_wh) + (2 if factor > 1 else -2)) / max(size_wh)
    return _bounded(size_wh, stepped, side_range)


def _bounded(size_wh: tuple[int, int], factor: float, side_range: tuple[int, int]) -> float:
    smallest, largest = min(size_wh), max(size_wh)
    lower = min(1.0, side_range[0] / smallest)
    upper = max(1.0, side_range[1] / largest)
    if not math.isfinite(factor):
        return upper
    return min(max(factor, lower), upper)


def _scaled(size_wh: tuple[int, int], factor: float) -> tuple[int, int]:
    """Sides keep their parity: on a canvas, a picture's centre would otherwise move by half a pixel.

    A classifier that has seen nothing but centred digits loses by that: see the README of ``configs/scalenet``.
    """
    return tuple(side % 2 + 2 * max(1 - side % 2, round((side * factor - side % 2) / 2)) for side in size_wh)


def resize_picture(picture: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Resample a whole picture: averaged over areas where it gets smaller, bicubic where it gets larger.

    Args:
        picture: (H, W) or (H, W, C) array.
        size_wh: New width and height.
    """
    height, width = picture.shape[:2]
    smaller = size_wh[0] < width or size_wh[1] < height
    return crop_resample(picture, _whole((width, height), size_wh), 'area' if smaller else 'bicubic')


# Small pictures are resampled in less time than a chip takes to check its arguments, and come in few sizes.
_whole = functools.lru_cache(maxsize=4096)(Chip.full)


def fit_canvas(picture: np.ndarray, canvas: int) -> np.ndarray:
    """Centre a picture on a square canvas: padded with zeros where it is smaller, cropped where it is larger.

    Args:
        picture: (H, W) or (H, W, C) array.
        canvas: Side of the canvas in pixels.

    Returns:
        (canvas, canvas) or (canvas, canvas, C) array; where the spare pixels are odd, the one more is at the right and
        the bottom.
    """
    height, width = picture.shape[:2]
    left, top = max(0, width - canvas) // 2, max(0, height - canvas) // 2
    picture = picture[top : top + canvas, left : left + canvas]
    spare_h, spare_w = canvas - picture.shape[0], canvas - picture.shape[1]
    if spare_h == spare_w == 0:
        return picture
    top, left = spare_h // 2, spare_w // 2
    border = (top, spare_h - top, left, spare_w - left)
    padded = cv2.copyMakeBorder(picture, *border, cv2.BORDER_CONSTANT, value=0)
    return padded.reshape(canvas, canvas, *picture.shape[2:])
