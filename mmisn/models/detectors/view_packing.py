"""Small views side by side on canvases: a detector costs as much per call as many pixels, however small the view is.

Shape shorthand: N detections, K keypoints.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.structures import InstanceData
from torch import nn

SizeWH = tuple[int, int]
TRIED_WIDTHS = 9


@dataclass(frozen=True)
class Canvas:
    """Where views lie on a canvas.

    Attributes:
        size_wh: Width and height in pixels; no larger than the views need.
        places: For each view on it its index, and the pixel of the canvas that its first row and column lie on (x, y).
    """

    size_wh: SizeWH
    places: tuple[tuple[int, int, int], ...]

    @property
    def num_pixels(self) -> int:
        """Width times height."""
        return self.size_wh[0] * self.size_wh[1]


@dataclass(frozen=True)
class ViewPacking:
    """How views are put on canvases.

    Args:
        side: Width and height of a canvas at most, pixels. A larger view is a canvas of its own.
        gap: Pixels between views at least. Views begin at multiples of it, so that the cells of features whose stride
            divides it fall on the same pixels as in a view alone.
        overhead: A canvas costs as much as so many pixels, whatever its size, as with ``CoverGrid``.

    Raises:
        ValueError: If a number is no whole one above 0, or the gap is not below the side.
    """

    side: int = 512
    gap: int = 16
    overhead: int = 65536

    def __post_init__(self) -> None:
        for name in ('side', 'gap', 'overhead'):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f'packing.{name} must be a whole number of pixels above 0, got {value!r}')
        if self.gap >= self.side:
            raise ValueError(f'packing.gap ({self.gap}) must be below packing.side ({self.side})')

    @classmethod
    def build(cls, cfg: Any) -> 'ViewPacking | None':
        """From an instance, a dict of its arguments, or ``None`` for no packing.

        Raises:
            ValueError: If an argument is unknown or out of its domain.
        """
        if cfg is None or isinstance(cfg, cls):
            return cfg
        unknown = sorted(set(cfg) - {'side', 'gap', 'overhead'})
        if unknown:
            raise ValueError(f'unknown keys {unknown} in packing; it has side, gap and overhead')
        return cls(**cfg)

    def pack(self, sizes_wh: Sequence[SizeWH]) -> list[Canvas]:
        """Put views on canvases, shelf by shelf, the highest first.

        A few widths of the shelves are tried, and the cheapest is chosen, of these the narrowest.

        Args:
            sizes_wh: Width and height of each view.

        Returns:
            Canvases that hold each view once.
        """
        small = [i for i, size in enumerate(sizes_wh) if max(size) <= self.side]
        large = [Canvas(tuple(size), ((i, 0, 0),)) for i, size in enumerate(sizes_wh) if max(size) > self.side]
        if not small:
            return large
        widest = max(sizes_wh[i][0] for i in small)
        widths = sorted({round(width) for width in np.linspace(widest, self.side, TRIED_WIDTHS).tolist()})
        tried = [self._shelves(small, sizes_wh, width) for width in widths]
        return large + min(tried, key=lambda found: (self._cost(found), max(c.size_wh for c in found)))

    def _cost(self, canvases: Sequence[Canvas]) -> int:
        return sum(canvas.num_pixels + self.overhead for canvas in canvases)

    def _shelves(self, indices: Iterable[int], sizes_wh: Sequence[SizeWH], width: int) -> list[Canvas]:
        # Of each canvas its shelves, [top, height, where the next view begins], and its places.
        canvases: list[tuple[list[list[int]], list[tuple[int, int, int]]]] = []
        for i in sorted(indices, key=lambda i: (-sizes_wh[i][1], -sizes_wh[i][0], i)):
            w, h = sizes_wh[i]
            found = ((places, shelf) for shelves, places in canvases if (shelf := self._shelf(shelves, w, h, width)))
            places, shelf = next(found, (None, None))
            if shelf is None:
                places, shelf = [], [0, h, 0]
                canvases.append(([shelf], places))
            places.append((i, shelf[2], shelf[0]))
            shelf[2] = self._next_start(shelf[2] + w)
        return [Canvas(_extent(places, sizes_wh), tuple(places)) for _, places in canvases]

    def _shelf(self, shelves: list[list[int]], w: int, h: int, width: int) -> list[int] | None:
        """The first shelf with room, or a new one below the others; ``None`` where neither is."""
        for shelf in shelves:
            if shelf[2] + w <= width:
                return shelf
        top = self._next_start(shelves[-1][0] + shelves[-1][1])
        if top + h > self.side:
            return None
        shelves.append([top, h, 0])
        return shelves[-1]

    def _next_start(self, end: int) -> int:
        """Where a view may begin after one that ends before ``end``."""
        return -(-(end + self.gap) // self.gap) * self.gap


def _extent(places: Iterable[tuple[int, int, int]], sizes_wh: Sequence[SizeWH]) -> SizeWH:
    ends = [(left + sizes_wh[i][0], top + sizes_wh[i][1]) for i, left, top in places]
    return max(x for x, _ in ends), max(y for _, y in ends)


def paint(canvas: Canvas, views: Sequence[np.ndarray], fill: Sequence[int]) -> np.ndarray:
    """The canvas as an (h, w, 3) uint8 image.

    Args:
        canvas: Where views lie.
        views: (h, w, 3) uint8 views, in the order of its places.
        fill: Colour between the views, in their channels' order.
    """
    width, height = canvas.size_wh
    image = np.empty((height, width, 3), np.uint8)
    image[:] = np.asarray(fill, np.uint8)
    for (_, left, top), view in zip(canvas.places, views, strict=True):
        image[top : top + view.shape[0], left : left + view.shape[1]] = view
    return image


def split_detections(canvas: Canvas, found: InstanceData, sizes_wh: Sequence[SizeWH]) -> list[InstanceData]:
    """Give each view its detections: those whose centre lies on it, with boxes that end at its edge.

    Args:
        canvas: Where views lie.
        found: ``bboxes`` (N, 4), and ``keypoints`` (N, K, 2) if there are any, in pixels of the canvas; other fields
            travel along.
        sizes_wh: Width and height of the views, in the order of its places.

    Returns:
        Detections in pixels of each view, in the order of its places. What is centred between views is in none.
    """
    corners = found.bboxes.new_tensor([(left, top) for _, left, top in canvas.places])
    sizes = found.bboxes.new_tensor([tuple(size) for size in sizes_wh])
    centres = (found.bboxes[:, None, :2] + found.bboxes[:, None, 2:]) / 2
    on_view = ((centres >= corners) & (centres < corners + sizes)).all(2)
    # Views do not overlap: each detection is on one or none. Sorted by view once, for an index per view takes longer.
    detection, view = on_view.T.nonzero(as_tuple=True)[::-1]
    own = found[detection]
    shifts = corners[view]
    own.bboxes = torch.minimum((own.bboxes - shifts.repeat(1, 2)).clamp(min=0), sizes[view].repeat(1, 2))
    if 'keypoints' in own:
        own.keypoints = own.keypoints - shifts[:, None]
    ends = np.cumsum([0, *on_view.sum(0).tolist()]).tolist()
    return [own[start:end] for start, end in zip(ends, ends[1:])]


def colour_of_padding(preprocessor: nn.Module) -> np.ndarray:
    """(3,) uint8 colour that becomes, as near as whole numbers can, what mmdet pads batches with.

    In the order of the channels of the images that the preprocessor is given.
    """
    colour = torch.as_tensor(float(getattr(preprocessor, 'pad_value', 0))).expand(3)
    if getattr(preprocessor, '_enable_normalize', False):
        colour = colour * preprocessor.std.flatten().cpu() + preprocessor.mean.flatten().cpu()
    if getattr(preprocessor, '_channel_conversion', False):
        colour = colour.flip(0)
    return colour.round().clamp(0, 255).numpy().astype(np.uint8)
