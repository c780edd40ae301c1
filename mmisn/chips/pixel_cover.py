"""Few rectangles that cover a set of pixels with some context, on a bounded grid of cells.

Shape shorthand: P pixels, R rectangles, X and Y cells along x and y.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from mmisn.structures import Chip


@dataclass(frozen=True)
class CoverGrid:
    """The grid that the rectangles of a level lie on, and what a rectangle costs; all in the level's view pixels.

    Args:
        cell: Side of a cell; it grows to a multiple of this where a level would have more than ``max_cells`` of them.
        context: A rectangle reaches this far beyond the pixels that it covers, unless the level ends before.
        min_size: Shortest side of a rectangle, unless the level is smaller; rounded up to whole cells.
        overhead: A rectangle costs its pixels and so many more: few large rectangles are faster than many small ones.
        max_cells: Cells along an axis, at most.

    Raises:
        ValueError: If an option is out of its domain.
    """

    cell: int = 32
    context: int = 16
    min_size: int = 128
    overhead: int = 4096
    max_cells: int = 48

    def __post_init__(self) -> None:
        least = dict(cell=1, context=0, min_size=1, overhead=0, max_cells=1)
        for name, lowest in least.items():
            value = getattr(self, name)
            if isinstance(value, bool) or value != int(value) or value < lowest:
                raise ValueError(f'CoverGrid.{name} must be an integer of at least {lowest}, got {value!r}')

    def cell_of(self, size_wh: tuple[int, int]) -> int:
        """Side of a cell in a view of this size."""
        cells = -(-max(size_wh) // self.cell)
        return self.cell * -(-cells // self.max_cells)


def cover_pixels(pixels: np.ndarray, whole: Chip, grid: CoverGrid) -> list[Chip]:
    """Chips of a level that cover a set of pixels.

    Cells with a pixel, or its context, are joined to regions; each region has its bounding rectangle; two rectangles
    become one as long as that lowers the cost, those first that lower it most. Where the rectangles cost as much as the
    whole level, it is taken whole.

    Args:
        pixels: (h, w) bool, a map over the whole image in any resolution.
        whole: The view of the whole image at the level; not flipped.
        grid: Cells and costs.

    Returns:
        Chips at the level's factor, row by row; none where there are no pixels.
    """
    cell = grid.cell_of(whole.size_wh)
    occupied = _occupied_cells(pixels, whole.size_wh, cell, grid.context)
    if not occupied.any():
        return []
    rectangles = _regions(occupied, whole.size_wh, cell, grid.min_size)
    rectangles, cost = _merged(rectangles, whole.size_wh, cell, grid.overhead)
    if cost >= whole.num_pixels + grid.overhead:
        return [whole]
    chips = [_chip_of_cells(r, whole, cell) for r in rectangles.tolist()]
    return sorted(dict.fromkeys(chips), key=lambda c: (c.xyxy[1], c.xyxy[0]))


def _occupied_cells(pixels: np.ndarray, size_wh: tuple[int, int], cell: int, context: int) -> np.ndarray:
    """(Y, X) whether a cell holds a pixel of the set or some of its context."""
    held = []
    for length, size in zip(pixels.shape, size_wh[::-1]):
        places = np.arange(length)
        low = np.maximum(places * size / length - context, 0) // cell
        high = np.ceil(np.minimum((places + 1) * size / length + context, size) / cell)
        cells = np.arange(-(-size // cell))[:, None]
        held.append(((low <= cells) & (cells < high)).astype(np.float32))
    # Which rows and columns of pixels a cell holds; the products count its pixels.
    rows, columns = held
    return rows @ pixels.astype(np.float32) @ columns.T > 0


def _regions(occupied: np.ndarray, size_wh: tuple[int, int], cell: int, min_size: int) -> np.ndarray:
    """(R, 4) bounding rectangles in cells (x1, y1, x2, y2) of connected cells, none shorter than ``min_size`` px."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(occupied.astype(np.uint8), connectivity=8)
    stats = stats[1:].astype(np.int64)  # the first is the background
    starts, lengths = stats[:, :2], stats[:, 2:4]
    limits, sizes = np.array(occupied.shape[::-1]), np.array(size_wh)
    grown = np.minimum(np.maximum(lengths, -(-min_size // cell)), limits)
    starts = np.clip(starts - (grown - lengths) // 2, 0, limits - grown)
    ends = starts + grown
    # The last cell ends where the view does and may be a small part of one.
    starts -= np.minimum(ends * cell, sizes) - starts * cell < np.minimum(min_size, sizes)
    return np.concatenate((starts, ends), axis=1)


def _costs(rectangles: np.ndarray, size_wh: tuple[int, int], cell: int, overhead: int) -> np.ndarray:
    """(...,) cost of (..., 4) rectangles; the last cells may reach beyond the view."""
    edges = np.minimum(rectangles * cell, np.array([*size_wh, *size_wh]))
    return (edges[..., 2] - edges[..., 0]) * (edges[..., 3] - edges[..., 1]) + overhead


def _merged(rectangles: np.ndarray, size_wh: tuple[int, int], cell: int, overhead: int) -> tuple[np.ndarray, int]:
    """Rectangles after joining pairs as long as that lowers the cost, and their cost."""
    costs = _costs(rectangles, size_wh, cell, overhead)

    def gains_of(i: int) -> np.ndarray:
        joined = np.concatenate(
            (np.minimum(rectangles[i, :2], rectangles[:, :2]), np.maximum(rectangles[i, 2:], rectangles[:, 2:])), axis=1
        )
        gains = costs[i] + costs - _costs(joined, size_wh, cell, overhead)
        gains[i] = -1
        gains[~alive] = -1
        return gains

    rectangles = rectangles.copy()
    alive = np.ones(len(rectangles), dtype=bool)
    gains = np.stack([gains_of(i) for i in range(len(rectangles))])
    while True:
        i, j = np.unravel_index(int(gains.argmax()), gains.shape)
        if gains[i, j] <= 0:
            return rectangles[alive], int(costs[alive].sum())
        rectangles[i] = (
            *np.minimum(rectangles[i, :2], rectangles[j, :2]),
            *np.maximum(rectangles[i, 2:], rectangles[j, 2:]),
        )
        costs[i] = _costs(rectangles[i], size_wh, cell, overhead)
        alive[j] = False
        gains[j], gains[:, j] = -1, -1
        gains[i] = gains[:, i] = gains_of(i)


def _chip_of_cells(rectangle: list[int], whole: Chip, cell: int) -> Chip:
    """A rectangle in cells as a chip of the image, rounded outwards to whole original pixels."""
    low, high, sizes = [], [], []
    for axis in (0, 1):
        side, size = whole.wh[axis], whole.size_wh[axis]
        start, end = rectangle[axis] * cell, min(rectangle[axis + 2] * cell, size)
        # Whole numbers: floor and ceiling of the edges in original pixels.
        a, b = start * side // size, -(-end * side // size)
        low.append(a)
        high.append(b)
        sizes.append(max(1, round((b - a) * size / side)))
    return Chip((*low, *high), tuple(sizes))
