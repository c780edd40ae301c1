"""What a scale net tells a ``ChipDetector`` about an image, and which detections agree with it.

Shape shorthand: N detections, C classes of scale with background, h and w height and width of a scale map.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mmisn.chips import check_scale_map
from mmisn.structures import Chip, ScaleRange, crop_resample, scales_of_boxes

# Far below what one pixel with a vote has, far above the rounding errors of sums over a map.
ROUNDING = 1e-6


def equal_size_batches(chips: Sequence[Chip], batch_size: int) -> list[list[int]]:
    """Group the indices of views of equal size, so that no view is padded for another's sake.

    Returns:
        Lists of at most ``batch_size`` indices, sizes in order of first appearance.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for i, chip in enumerate(chips):
        by_size.setdefault(chip.size_wh, []).append(i)
    return [group[i : i + batch_size] for group in by_size.values() for i in range(0, len(group), batch_size)]


def seen_size(net: nn.Module, size_wh: tuple[int, int]) -> tuple[int, int]:
    """Width and height at which a scale net looks at an image of ``size_wh``: its own choice, if it has one."""
    view_wh = getattr(net, 'view_wh', None)
    return tuple(size_wh) if view_wh is None else tuple(view_wh(tuple(size_wh)))


class ImageScaleMaps:
    """``predict`` of a chip generator, for one image: from chips to scale maps.

    Args:
        net: A scale net, with ``predict_maps``.
        pixels: (H, W, 3) uint8 BGR image.
        batch_size: Chips of equal size that the net is given together, at most.
        interpolation: How chips are resampled.
        name: What the image is called in errors: its path or id.

    Attributes:
        num_pixels: Pixels that the net has looked at.
        whole: The first chip of the whole image and its map; ``None`` before.
    """

    def __init__(
        self, net: nn.Module, pixels: np.ndarray, batch_size: int, interpolation: str, name: str = 'an image'
    ) -> None:
        self._name = name
        self._net = net
        self._pixels = pixels
        self._batch_size = batch_size
        self._interpolation = interpolation
        self.num_pixels = 0
        self.whole: tuple[Chip, np.ndarray] | None = None

    def __call__(self, chips: Sequence[Chip]) -> list[np.ndarray]:
        """Scale maps of chips, each of its chip's size.

        Raises:
            ValueError: If a map is bad, see ``check_scale_map``, or missing; it names the image and the view.
        """
        maps: list[Any] = [None] * len(chips)
        for batch in equal_size_batches(chips, self._batch_size):
            views = [crop_resample(self._pixels, chips[i], self._interpolation) for i in batch]
            found = self._checked(self._net.predict_maps(views), [chips[i] for i in batch])
            for i, scale_map in zip(batch, found):
                maps[i] = scale_map
                self.num_pixels += math.prod(seen_size(self._net, chips[i].size_wh))
        height, width = self._pixels.shape[:2]
        if self.whole is None:
            whole = (pair for pair in zip(chips, maps) if pair[0].xyxy == (0, 0, width, height))
            self.whole = next(whole, None)
        return maps

    def _checked(self, maps: Sequence[Any], chips: Sequence[Chip]) -> list[np.ndarray]:
        if len(maps) != len(chips):
            raise ValueError(f'{self._name}: the scale net gave {len(maps)} scale maps for {len(chips)} views')
        found = []
        for scale_map, chip in zip(maps, chips):
            try:
                found.append(check_scale_map(scale_map, chip.size_wh))
            except ValueError as error:
                (width, height), (x1, y1, x2, y2) = chip.size_wh, chip.xyxy
                view = f'the view of ({x1}, {y1}, {x2}, {y2}) at {width}x{height} px'
                raise ValueError(f'{self._name}, {view}: {error}') from error
        return found


@dataclass(frozen=True)
class ScaleMatch:
    """Keep a detection only where its size agrees with the scale predicted in the original image.

    ScaleNet, "Recursive-Scale Net": windows often cut parts of larger objects, which would pass for small ones. How
    near the two must be is not stated.

    Args:
        tolerance: For maps of classes: classes that the box's own may be away from the predicted one.
        min_share: For maps of classes: the box's pixels that show an object vote with their probabilities, background
            not counted; at least this share of the votes must be for a class within the tolerance.
        min_object: For maps of classes: a pixel shows an object, and votes, if the probabilities of all classes but
            background add up to more than this, in [0, 1). A softmax is nowhere quite 0; the default is the paper's
            threshold of the pixels that windows are made of, which background may outweigh.
        ratio: For maps of relative scale: the box may be so many times as large or as small as predicted, on average
            over its pixels that are not background.
        unit: For maps of relative scale: what 1 stands for, in pixels as the net sees the image; by default the
            ``unit`` of the net or its head.

    Raises:
        ValueError: If an argument is out of its domain.
    """

    tolerance: int = 1
    min_share: float = 0.5
    min_object: float = 0.3
    ratio: float = 2.0
    unit: float | None = None

    def __post_init__(self) -> None:
        if self.tolerance != int(self.tolerance) or self.tolerance < 0:
            raise ValueError(f'ScaleMatch.tolerance must be a number of classes >= 0, got {self.tolerance!r}')
        if not 0 < self.min_share <= 1:
            raise ValueError(f'ScaleMatch.min_share must be a share in (0, 1], got {self.min_share!r}')
        if not 0 <= self.min_object < 1:
            raise ValueError(f'ScaleMatch.min_object must be a probability in [0, 1), got {self.min_object!r}')
        if not 1 < self.ratio < math.inf:
            raise ValueError(f'ScaleMatch.ratio must be finite and above 1, got {self.ratio!r}')
        if self.unit is not None and not 0 < self.unit < math.inf:
            raise ValueError(f'ScaleMatch.unit must be a number of pixels > 0 or None, got {self.unit!r}')

    @classmethod
    def build(cls, cfg: Any) -> 'ScaleMatch | None':
        """Make a rule of a ``ScaleMatch``, a dict of its arguments, or ``None`` (no matching)."""
        if cfg is None or isinstance(cfg, cls):
            return cfg
        unknown = sorted(set(cfg) - {'tolerance', 'min_share', 'min_object', 'ratio', 'unit'})
        if unknown:
            raise ValueError(
                f'unknown keys {unknown} in match; it has tolerance, min_share, min_object, ratio and unit'
            )
        return cls(**cfg)

    def agrees(self, boxes_xyxy: Tensor, look: Chip, scale_map: np.ndarray, net: nn.Module) -> Tensor:
        """Tell which detections agree.

        Args:
            boxes_xyxy: (N, 4) boxes in original pixels.
            look: The view of the whole image that the map belongs to.
            scale_map: (C, h, w) probabilities or (h, w) relative scales.
            net: The scale net, with ``class_bounds`` for maps of classes.

        Returns:
            (N,) bool; a detection on nothing but background does not agree: one no pixel of which shows an object.

        Raises:
            ValueError: If the net states no bounds of classes, or no unit is known.
        """
        boxes = boxes_xyxy.detach().cpu().double().numpy()
        seen = Chip.full(look.wh, seen_size(net, look.size_wh))
        scales = scales_of_boxes(boxes) * seen.factor
        spans = _pixel_spans(boxes, look)
        if scale_map.ndim == 3:
            shown = scale_map[1:].sum(axis=0) > self.min_object
            agree = self._classes_agree(scales, _box_sums(scale_map * shown, spans), net)
        else:
            agree = self._scales_agree(scales, _box_sums(np.stack((scale_map, scale_map > 0)), spans), net)
        return torch.from_numpy(agree).to(boxes_xyxy.device)

    def _classes_agree(self, scales: np.ndarray, votes: np.ndarray, net: nn.Module) -> np.ndarray:
        bounds = getattr(net, 'class_bounds', None)
        if bounds is None or len(bounds) != votes.shape[1]:
            raise ValueError(
                f'matching needs {votes.shape[1]} class_bounds of the scale net, one per class, got {bounds}'
            )
        own = np.searchsorted(np.asarray(bounds, dtype=np.float64), scales, side='right').clip(1, len(bounds) - 1)
        labels = np.arange(1, len(bounds))
        near = abs(labels - own[:, None]) <= self.tolerance
        total = votes[:, 1:].sum(axis=1)
        # Sums of a box are differences of sums of the map, which leave a rounding error where there is nothing.
        return (total > ROUNDING) & ((votes[:, 1:] * near).sum(axis=1) >= self.min_share * total)

    def _scales_agree(self, scales: np.ndarray, sums: np.ndarray, net: nn.Module) -> np.ndarray:
        unit = self.unit or getattr(net, 'unit', None) or getattr(getattr(net, 'head', None), 'unit', None)
        if unit is None:
            raise ValueError('matching with relative scales needs match.unit, the pixels that 1 stands for')
        total, count = sums.T
        predicted = unit * total / np.maximum(count, 1)
        ratios = np.divide(scales, predicted, out=np.zeros_like(scales), where=predicted > 0)
        return ScaleRange(1 / self.ratio, self.ratio).contains(ratios)


def _pixel_spans(boxes_xyxy: np.ndarray, look: Chip) -> np.ndarray:
    """(N, 4) pixels of the view that boxes touch (x1, y1, first beyond in x and y); none for boxes beyond the view."""
    view = look.boxes_to_view(boxes_xyxy)
    limits = np.array(look.size_wh)
    low = np.floor(view[:, :2]).clip(0, limits)
    high = np.ceil(view[:, 2:]).clip(low, limits)
    return np.concatenate((low, high), axis=1).astype(np.int64)


def _box_sums(maps: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """(N, C) sums of (C, h, w) maps over pixel spans."""
    sums = np.zeros((len(maps), maps.shape[1] + 1, maps.shape[2] + 1))
    sums[:, 1:, 1:] = maps.astype(np.float64).cumsum(axis=1).cumsum(axis=2)
    x1, y1, x2, y2 = spans.T
    return (sums[:, y2, x2] - sums[:, y1, x2] - sums[:, y2, x1] + sums[:, y1, x1]).T.clip(min=0)
