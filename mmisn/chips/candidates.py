"""Candidate positions of the chips of one level, and the greedy choice among them (SNIPER section 3.1).

Candidates lie on a grid of random offset and stride and along the image's border. A chip encloses a box if it does so
along x and along y, hence candidates are two short lists, one per axis, and how many objects each of the X * Y chips
holds is one matrix product.

Shape shorthand: N objects, X and Y candidate positions along x and y.
"""

from dataclasses import dataclass

import numpy as np

from mmisn.structures import clip_boxes


@dataclass(frozen=True)
class Candidates:
    """Where the chips of one level may lie, and where each object lets them lie.

    A chip at (x, y) encloses object i exactly if ``lower[i] <= (x, y) <= upper[i]`` on both axes.

    Attributes:
        xs: (X,) ascending left edges in original pixels.
        ys: (Y,) ascending top edges.
        lower: (N, 2) smallest left and top edge of a chip that encloses the object.
        upper: (N, 2) largest such edges.
    """

    xs: np.ndarray
    ys: np.ndarray
    lower: np.ndarray
    upper: np.ndarray


def enclosing_positions(
    boxes_xyxy: np.ndarray, rect_wh: tuple[int, int], image_wh: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Find where the top left corner of a rectangle inside the image may lie to enclose each box.

    Args:
        boxes_xyxy: (N, 4) boxes in original pixels; clipped to the image here.
        rect_wh: Width and height of the rectangle.
        image_wh: Width and height of the image.

    Returns:
        ``lower`` and ``upper``, (N, 2) smallest and largest whole x and y, and ``fits``, (N,) whether there are any and
        the box has some area inside the image.
    """
    boxes = clip_boxes(boxes_xyxy, image_wh)
    top_left, bottom_right = boxes[:, :2], boxes[:, 2:]
    lower = np.maximum(np.ceil(bottom_right) - rect_wh, 0)
    upper = np.minimum(np.floor(top_left), np.subtract(image_wh, rect_wh))
    fits = ((lower <= upper) & (top_left < bottom_right)).all(axis=1)
    return lower, upper, fits


def draw_candidates(
    image_wh: tuple[int, int],
    rect_wh: tuple[int, int],
    size_wh: tuple[int, int],
    lower: np.ndarray,
    upper: np.ndarray,
    stride: tuple[int, int],
    rng: np.random.Generator,
) -> Candidates:
    """Draw the grid of candidate positions of one level; ``lower`` and ``upper`` are ``enclosing_positions``'s."""
    stride_view = rng.integers(*stride)
    positions = []
    for axis in (0, 1):
        limit = image_wh[axis] - rect_wh[axis]
        step = max(1.0, stride_view * rect_wh[axis] / size_wh[axis])
        positions.append(_draw_positions(limit, step, lower[:, axis], upper[:, axis], rng))
    return Candidates(*positions, lower, upper)


def _draw_positions(
    limit: int, step: float, lower: np.ndarray, upper: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Ascending positions from 0 to ``limit`` on a grid, and one more for each object that none of them encloses."""
    if limit == 0:
        return np.zeros(1)
    grid = np.floor(np.arange(rng.random() * step, limit, step))
    positions = np.concatenate(((0,), grid, (limit,)))
    missed = positions[positions.searchsorted(lower)] > upper
    if missed.any():
        extra = rng.integers(lower[missed], upper[missed], endpoint=True)
        positions = np.sort(np.concatenate((positions, extra)))
    return positions


def greedy_cover(candidates: Candidates, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Choose positions until every object is enclosed, each time one that encloses the most objects left.

    Args:
        candidates: Every object is enclosed by some position of each axis.
        rng: Breaks ties.

    Returns:
        Left and top edges of the chosen chips.

    Raises:
        ValueError: If some object is enclosed by no candidate.
    """
    xs, ys, lower, upper = candidates.xs, candidates.ys, candidates.lower, candidates.upper
    in_x = ((xs >= lower[:, :1]) & (xs <= upper[:, :1])).astype(np.float32)  # (N, X)
    in_y = ((ys >= lower[:, 1:]) & (ys <= upper[:, 1:])).astype(np.float32)  # (N, Y)
    # Counts are whole numbers; a fraction below 1 orders equal ones at random.
    counts = in_x.T @ in_y
    counts += rng.random(counts.shape, dtype=np.float32) * np.float32(0.5)
    num_left = len(lower)
    chosen = []
    while True:
        i, j = divmod(int(counts.argmax()), len(ys))
        chosen.append((int(xs[i]), int(ys[j])))
        covered = (in_x[:, i] * in_y[:, j]).nonzero()[0]
        if len(covered) == 0:
            raise ValueError(f'{num_left} objects are enclosed by no candidate; candidates must hold every object')
        num_left -= len(covered)
        if num_left == 0:
            return chosen
        _remove(counts, in_x, in_y, covered)


def _remove(counts: np.ndarray, in_x: np.ndarray, in_y: np.ndarray, covered: np.ndarray) -> None:
    """Take the covered objects out of the counts, in place."""
    counts -= in_x[covered].T @ in_y[covered]
    in_x[covered] = 0
