"""Overlapping equal cells of an image, each seen at the size of the whole: ScaleNet's baseline Grid-Rescale."""

import math
from collections.abc import Sequence
from typing import Any

from mmdet.registry import TASK_UTILS

from mmisn.structures import Chip

from .levels import Level, build_level, check_image_wh, is_whole, level_size


def grid_views(
    image_wh: tuple[int, int],
    cells: tuple[int, int] = (2, 2),
    overlap: float = 0.2,
    level: Level = 1.0,
    full_image: bool = True,
) -> list[Chip]:
    """The cells of an image.

    Args:
        image_wh: Width and height of the image.
        cells: Number of cells along x and along y.
        overlap: Share of a cell's side that it has in common with its neighbour, in [0, 1).
        level: Of the view of the whole image. A cell is resampled to the largest size that fits into that view, its
            aspect ratio kept: for as many cells along x as along y, that is the view's own size.
        full_image: Whether the whole image is a view as well, the first one.

    Returns:
        Chips of equal size, row by row. An image with fewer pixels than cells has one per pixel.
    """
    image_wh = check_image_wh(image_wh)
    whole = Chip.full(image_wh, level_size(image_wh, level))
    axes = [_cell_axis(side, number, overlap) for side, number in zip(image_wh, cells)]
    (lefts, width), (tops, height) = axes
    factor = min(size / length for size, length in zip(whole.size_wh, (width, height)))
    size_wh = max(1, round(width * factor)), max(1, round(height * factor))
    found = [Chip((x, y, x + width, y + height), size_wh) for y in tops for x in lefts]
    return [whole, *(c for c in found if c != whole)] if full_image else found


def _cell_axis(side: int, number: int, overlap: float) -> tuple[list[int], int]:
    """Starts of the cells along an axis, from end to end, and their length, in original pixels."""
    if number == 1:
        return [0], side
    length = min(side, math.ceil(side / (number - (number - 1) * overlap)))
    starts = [i * (side - length) // (number - 1) for i in range(number)]
    return list(dict.fromkeys(starts)), length


@TASK_UTILS.register_module()
class GridChips:
    """The whole image and its overlapping cells, each seen at the size of the whole (ScaleNet, Grid-Rescale).

    The paper has 4 cells "with some overlap" and does not say how much, nor whether the whole image is looked at, too;
    its AP of large objects, that of the plain detector, says that it is.

    Args:
        cells: Number of cells along x and along y.
        overlap: Share of a cell's side that it has in common with its neighbour.
        level: Of the view of the whole image: a factor or a size ``(long, short)``.
        full_image: Whether the whole image is a view as well, the first one.

    Raises:
        ValueError: If an argument is invalid.
    """

    def __init__(
        self, cells: Sequence[int] = (2, 2), overlap: float = 0.2, level: Level = 1.0, full_image: bool = True
    ) -> None:
        if not isinstance(cells, (list, tuple)) or len(cells) != 2 or not all(is_whole(c) and c >= 1 for c in cells):
            raise ValueError(f'GridChips.cells must be two integers of at least 1, along x and y, got {cells!r}')
        if isinstance(overlap, bool) or not 0 <= overlap < 1:
            raise ValueError(f'GridChips.overlap must be a share of a cell, in [0, 1), got {overlap!r}')
        self.cells = int(cells[0]), int(cells[1])
        self.overlap = float(overlap)
        self.level = build_level(level)
        self.full_image = bool(full_image)

    def views(self, image_wh: tuple[int, int], predict: Any = None) -> list[Chip]:
        """The views of an image; see ``grid_views``. ``predict`` is not used."""
        return grid_views(image_wh, self.cells, self.overlap, self.level, self.full_image)

    def whole_view(self, image_wh: tuple[int, int]) -> Chip:
        """The view of the whole image that is not a cell."""
        return Chip.full(image_wh, level_size(image_wh, self.level))

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(cells={self.cells}, overlap={self.overlap}, level={self.level}, '
            f'full_image={self.full_image})'
        )
