"""The image pyramid, cut where ScaleNet sees no objects that need the level.

One look of a scale net at the image tells where there are objects and of which scale. A level of the pyramid is then
computed only in chips around the objects that are in its range and that no cheaper level serves well. The merge, and
the range of what a view may report, are those of the whole pyramid (ISN section 3.3.1).

Shape shorthand: C classes of scale, background included; L levels; h and w height and width of a scale map.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmdet.registry import TASK_UTILS

from mmisn.structures import Chip, ScaleRange

from .levels import (
    Level,
    build_level,
    build_level_ranges,
    build_levels,
    check_image_wh,
    check_level_gaps,
    level_factor,
    level_size,
)
from .pixel_cover import CoverGrid, cover_pixels
from .pixel_rules import check_scale_maps
from .recursive import Predict


def class_intervals(class_bounds: Sequence[float], factor: float, image_wh: tuple[int, int]) -> np.ndarray:
    """Scales of the classes in original pixels.

    Args:
        class_bounds: C edges in pixels as the scale net sees the image: class i holds [bounds[i - 1], bounds[i]).
        factor: Pixels as the scale net sees the image per original pixel.
        image_wh: Width and height of the image; no object of it is larger.

    Returns:
        (C - 1, 2) lower and upper ends, of the classes from 1 on; a class of larger objects than the image has an empty
        interval.
    """
    edges = np.minimum(np.asarray(class_bounds, dtype=np.float64) / factor, math.sqrt(image_wh[0] * image_wh[1]))
    return np.stack((edges[:-1], edges[1:]), axis=1)


def classes_of_levels(
    intervals: np.ndarray,
    factors: Sequence[float],
    ranges: Sequence[ScaleRange],
    margins: Sequence[float],
    skip_poor: bool = False,
) -> list[list[int]]:
    """Which classes of objects each level is computed for.

    A level serves an object well if its range with a lower bound ``margin`` times as high holds the object. A level is
    computed for a class if some of its scales are in the level's range and no cheaper level, one with a smaller factor,
    serves all of them well.

    Args:
        intervals: Of ``class_intervals``.
        factors: (L,) view pixels per original pixel.
        ranges: (L,) what each level may report.
        margins: (L,) at least 1. With 1 an object is seen at the cheapest level that has it in range; with more, also
            at more expensive ones, where it is larger.
        skip_poor: Leave out the levels that do not serve a class well where a more expensive one does, or, where none
            does, is nearer to it: a class has one level.

    Returns:
        Per level the classes, from 1 on.
    """
    own = [r.in_original_at(f) for r, f in zip(ranges, factors)]
    good = [_well_served(r, m) for r, m in zip(own, margins)]
    needed = []
    for factor, level_range in zip(factors, own):
        cheaper = [good[k] for k in range(len(factors)) if factors[k] < factor and good[k] is not None]
        classes = []
        for label, (low, high) in enumerate(intervals.tolist(), 1):
            nearest = min(max(low, level_range.lower), high)
            seen = low < high and nearest < high and level_range.contains(nearest)
            if seen and not any(r.contains(low) and r.contains(high) for r in cheaper):
                classes.append(label)
        needed.append(classes)
    return _without_poor(needed, factors) if skip_poor else needed


def _without_poor(needed: list[list[int]], factors: Sequence[float]) -> list[list[int]]:
    """The most expensive level of each class alone: the one that serves it well, for it has none above that."""
    largest = {label: f for f, classes in sorted(zip(factors, needed)) for label in classes}
    return [[label for label in classes if largest[label] == f] for f, classes in zip(factors, needed)]


def _well_served(level_range: ScaleRange, margin: float) -> ScaleRange | None:
    lower = level_range.lower * margin
    return ScaleRange(lower, level_range.upper, frame='original') if lower < level_range.upper else None


def pixels_of_classes(scale_map: np.ndarray, classes: Sequence[int], threshold: float | None) -> np.ndarray:
    """(h, w) bool: where the probabilities of the classes add up to more than ``threshold``, or, with ``None``, where
    the most probable class is one of them.

    Args:
        scale_map: (C, h, w) probabilities.
        classes: From 1 on; none gives no pixels.
        threshold: A probability in [0, 1), or ``None``.
    """
    if not classes:
        return np.zeros(scale_map.shape[1:], dtype=bool)
    if threshold is None:
        return np.isin(scale_map.argmax(axis=0), classes)
    return scale_map[list(classes)].sum(axis=0) > threshold


@TASK_UTILS.register_module()
class FocusChips:
    """The levels of a pyramid, each computed only around objects that need it.

    ScaleNet looks at the image once, at a cheap size. Where it predicts nothing, nothing is computed. It needs a scale
    net of classes: ``ChipDetector(scale_net=...)``. Chips have edges that cut objects of other scales: filter with the
    pyramid's ``scale_range`` and an ``edge_margin``.

    Args:
        factors: Levels of the pyramid: factors, or sizes ``(long, short)``.
        scale_range: What the views may report: one range for all levels or a list with one per level.
        look: Level at which ScaleNet looks at the image.
        margin: One number for all levels or a list with one per level: a level serves objects well from ``margin``
            times its lower bound on, see ``classes_of_levels``. More margin, more levels per object, more pixels.
        skip_poor: See ``classes_of_levels``: a class of objects has one level, and views are fewer.
        threshold: See ``pixels_of_classes``.
        always: Levels that are computed whole, whatever ScaleNet predicts; of ``factors``.
        flips: For each chip, one view per entry.
        grid: Arguments of ``CoverGrid``.
        class_bounds: C edges of ScaleNet's classes, see ``class_intervals``; by default those that it states.

    Raises:
        ValueError: If an argument is invalid.
    """

    uses_scale_net = True

    def __init__(
        self,
        factors: Sequence[Level],
        scale_range: Any,
        look: Level = 1.0,
        margin: float | Sequence[float] = 1.0,
        skip_poor: bool = False,
        threshold: float | None = 0.3,
        always: Sequence[Level] = (),
        flips: Sequence[bool] = (False,),
        grid: dict | CoverGrid | None = None,
        class_bounds: Sequence[float] | None = None,
    ) -> None:
        self.levels = build_levels(factors)
        self.scale_ranges = build_level_ranges(scale_range, len(self.levels))
        for level_range in self.scale_ranges:
            if level_range.measure != 'sqrt_box':
                raise ValueError(f'FocusChips needs ranges of sqrt(w h), got {level_range}')
        check_level_gaps(self.levels, self.scale_ranges)
        self.look = build_level(look)
        self.margins = _build_margins(margin, len(self.levels))
        self.skip_poor = bool(skip_poor)
        if threshold is not None and not 0 <= threshold < 1:
            raise ValueError(f'FocusChips.threshold must be a probability in [0, 1) or None, got {threshold!r}')
        self.threshold = threshold
        self.always = build_levels(list(always)) if always else ()
        if not set(self.always) <= set(self.levels):
            raise ValueError(f'FocusChips.always = {always!r} must be among the factors {self.levels}')
        if not isinstance(flips, (list, tuple)) or not flips or any(not isinstance(flip, bool) for flip in flips):
            raise ValueError(f'FocusChips.flips must be a non-empty list of booleans, got {flips!r}')
        self.flips = tuple(flips)
        self.grid = grid if isinstance(grid, CoverGrid) else CoverGrid(**(grid or {}))
        self.class_bounds = None if class_bounds is None else _check_bounds(class_bounds)
        self._seen_wh: Callable[[tuple[int, int]], tuple[int, int]] = lambda size_wh: size_wh

    def read_scale_net(self, net: Any) -> None:
        """Take the classes' bounds, unless they were given, and the size at which images are seen, from a scale net.

        Args:
            net: With ``class_bounds`` and, unless it sees images as they are, ``view_wh(size_wh)``.

        Raises:
            ValueError: If it predicts no classes.
        """
        if self.class_bounds is None:
            bounds = getattr(net, 'class_bounds', None)
            if bounds is None:
                raise ValueError(
                    f'FocusChips needs classes of scale, and {type(net).__name__} states no class_bounds; give it a '
                    'head of classes'
                )
            self.class_bounds = _check_bounds(bounds)
        self._seen_wh = getattr(net, 'view_wh', self._seen_wh)

    def views(self, image_wh: tuple[int, int], predict: Predict | None = None) -> list[Chip]:
        """The views of an image: level by level, in each row by row; none where nothing is predicted.

        Args:
            image_wh: Width and height of the image.
            predict: From chips of the image to their scale maps, each of its chip's size. It is called once.

        Raises:
            ValueError: If there is no ``predict``, the classes' bounds are not known, or the map is bad.
        """
        if predict is None:
            raise ValueError('FocusChips needs predict, from chips to scale maps: ChipDetector(scale_net=...)')
        if self.class_bounds is None:
            raise ValueError('FocusChips needs class_bounds, the edges of the classes that predict tells apart')
        image_wh = check_image_wh(image_wh)
        look = Chip.full(image_wh, level_size(image_wh, self.look))
        (scale_map,) = check_scale_maps(predict([look]), [look.size_wh])
        self._check_classes(scale_map)
        seen = Chip.full(image_wh, tuple(self._seen_wh(look.size_wh)))
        factors = [level_factor(image_wh, level) for level in self.levels]
        intervals = class_intervals(self.class_bounds, seen.factor, image_wh)
        needed = classes_of_levels(intervals, factors, self.scale_ranges, self.margins, self.skip_poor)
        found = []
        for level, classes in zip(self.levels, needed):
            whole = Chip.full(image_wh, level_size(image_wh, level))
            if level in self.always:
                found.append(whole)
            else:
                found.extend(cover_pixels(pixels_of_classes(scale_map, classes, self.threshold), whole, self.grid))
        return [chip.flipped(flip) for chip in found for flip in self.flips]

    def _check_classes(self, scale_map: np.ndarray) -> None:
        if scale_map.ndim != 3 or len(scale_map) != len(self.class_bounds):
            raise ValueError(
                f'FocusChips with {len(self.class_bounds)} class_bounds reads (classes, height, width) maps of as many '
                f'classes, background included, got shape {scale_map.shape}'
            )

    def __repr__(self) -> str:
        ranges = ', '.join(map(str, dict.fromkeys(self.scale_ranges)))
        return (
            f'{type(self).__name__}(factors={self.levels}, scale_range={ranges}, look={self.look}, '
            f'margins={self.margins}, skip_poor={self.skip_poor}, threshold={self.threshold}, '
            f'always={self.always}, flips={self.flips}, '
            f'{self.grid})'
        )


def _build_margins(margin: Any, num_levels: int) -> tuple[float, ...]:
    margins = list(margin) if isinstance(margin, (list, tuple)) else [margin] * num_levels
    if len(margins) != num_levels or not all(1 <= m < math.inf for m in margins):
        raise ValueError(
            f'FocusChips.margin must be one number of at least 1 or {num_levels}, one per level, got {margin!r}'
        )
    return tuple(float(m) for m in margins)


def _check_bounds(class_bounds: Sequence[float]) -> tuple[float, ...]:
    bounds = tuple(float(b) for b in class_bounds)
    if len(bounds) < 2 or not bounds[0] >= 0 or not all(a < b for a, b in zip(bounds, bounds[1:])):
        raise ValueError(f'class_bounds must be at least 2 ascending edges from 0 on, got {class_bounds!r}')
    return bounds
