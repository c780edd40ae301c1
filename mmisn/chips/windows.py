"""Windows over a set of pixels, and what part of the image a window in a view is (ScaleNet, Algorithm 1).

Shape shorthand: h and w height and width of a scale map, X and Y positions of a window along x and y.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from mmisn.structures import Chip


@dataclass(frozen=True)
class Window:
    """A window over a scale map, in the map's pixels.

    Attributes:
        xyxy: The window.
        inner_xyxy: The part of it whose pixels count: the margin is left out, but not along the map's border.
        num_pixels: Pixels of the set in the inner part.
    """

    xyxy: tuple[int, int, int, int]
    inner_xyxy: tuple[int, int, int, int]
    num_pixels: int

    @property
    def inner(self) -> tuple[slice, slice]:
        """Index of the inner part in an (h, w) array."""
        x1, y1, x2, y2 = self.inner_xyxy
        return slice(y1, y2), slice(x1, x2)


def densest_window(pixels: np.ndarray, size: int, margin: int = 0) -> Window:
    """The window with the most pixels of a set, the paper's "locate the subimage of size W with most pixels".

    Among the windows with as many, the one that has its pixels nearest to its centre: the paper's text has the window
    "centered at the center of the pixels".

    Args:
        pixels: (h, w) bool, the set.
        size: Side of the window; a map that is smaller is taken whole along that axis.
        margin: Pixels nearer to the window's border than this do not count, unless the border is the map's. An object
            up to that long, one pixel of which counts, lies whole in the window.

    Raises:
        ValueError: If the margin leaves nothing of the window.
    """
    check_window(size, margin)
    height, width = pixels.shape
    (left, right), (top, bottom) = (_inner_spans(side, min(size, side), margin) for side in (width, height))
    sums = cv2.integral(pixels.astype(np.uint8))
    counts = sums[np.ix_(bottom, right)] - sums[np.ix_(top, right)] - sums[np.ix_(bottom, left)]
    counts += sums[np.ix_(top, left)]
    j, i = np.unravel_index(int(counts.argmax()), counts.shape)
    ys, xs = pixels[top[j] : bottom[j], left[i] : right[i]].nonzero()
    if len(xs):
        centred_i = _centred(left[i] + xs, min(size, width), counts.shape[1])
        centred_j = _centred(top[j] + ys, min(size, height), counts.shape[0])
        if counts[centred_j, centred_i] == counts[j, i]:
            i, j = centred_i, centred_j
    xyxy = (int(i), int(j), int(i) + min(size, width), int(j) + min(size, height))
    return Window(xyxy, (int(left[i]), int(top[j]), int(right[i]), int(bottom[j])), int(counts[j, i]))


def check_window(size: int, margin: int) -> None:
    """Check a window's side and margin.

    Raises:
        ValueError: If the side is below 1, the margin below 0, or nothing is left between the margins.
    """
    if not (size >= 1 and margin >= 0 and size > 2 * margin):
        raise ValueError(f'a window of {size} px must be wider than twice its margin, {margin} px')


def _inner_spans(side: int, window: int, margin: int) -> tuple[np.ndarray, np.ndarray]:
    """Start and end of the inner part for each position of a window along an axis."""
    starts = np.arange(side - window + 1)
    lower, upper = starts + margin, starts + window - margin
    lower[0], upper[-1] = 0, side
    return lower, upper


def _centred(places: np.ndarray, window: int, num_positions: int) -> int:
    """Start of the window with the span of ``places`` in its middle."""
    start = (int(places.min()) + int(places.max()) + 1 - window) // 2
    return min(max(start, 0), num_positions - 1)


def window_chip(look: Chip, xyxy_look: Sequence[int], factor: float) -> Chip:
    """A window in a view as a chip of the original image.

    All windows of one side and factor in a view have the same size, so that they can be computed together: unless the
    view's pixels are whole original pixels, a window is one original pixel longer than rounding outwards would make the
    shortest.

    Args:
        look: The view, not flipped.
        xyxy_look: Window in the view's pixels, inside it.
        factor: Further magnification, relative to the view.

    Returns:
        A chip that encloses the window and lies in ``look``'s rectangle.
    """
    starts, lengths = [], []
    for axis in (0, 1):
        low, high = xyxy_look[axis], xyxy_look[axis + 2]
        side, size = look.wh[axis], look.size_wh[axis]
        # Whole numbers: side / size original pixels per pixel of the view.
        exact = side % size == 0
        length = (high - low) * side // size if exact else math.ceil((high - low) * side / size) + 1
        length = side if (low, high) == (0, size) else min(length, side)
        starts.append(look.xyxy[axis] + min(low * side // size, side - length))
        lengths.append(length)
    (x, y), (width, height) = starts, lengths
    gain = look.factor * factor
    return Chip((x, y, x + width, y + height), (max(1, round(width * gain)), max(1, round(height * gain))))


def without_enclosed(chips: Sequence[Chip], tolerance: float = 0.02) -> list[Chip]:
    """Leave out chips that another one at the same scale encloses; of equal ones the first stays.

    Args:
        chips: Any chips of an image.
        tolerance: Factors that differ by up to this share are the same scale: sizes are whole pixels.
    """
    chips = list(dict.fromkeys(chips))
    kept = []
    for i, chip in enumerate(chips):
        others = (o for j, o in enumerate(chips) if j != i and o.flip == chip.flip)
        if not any(
            _encloses(o, chip, tolerance) and not (_encloses(chip, o, tolerance) and o not in kept) for o in others
        ):
            kept.append(chip)
    return kept


def _encloses(outer: Chip, inner: Chip, tolerance: float) -> bool:
    (a, b, c, d), (x1, y1, x2, y2) = outer.xyxy, inner.xyxy
    same = abs(outer.factor / inner.factor - 1) <= tolerance
    return same and a <= x1 and b <= y1 and c >= x2 and d >= y2
