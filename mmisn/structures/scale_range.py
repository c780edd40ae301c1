"""The one definition of "in range" (ISN sections 3.2 and 3.3.1)."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np

from .chip import Chip

MEASURES = ('sqrt_box', 'mask_area')
FRAMES = ('view', 'original')


@dataclass(frozen=True)
class ScaleRange:
    """A closed interval of object scales, in one measure and one frame.

    Scale is judged on the whole object, never on the part of it that a chip shows. Both bounds belong to the range, as
    in the paper's ``[s_l, s_u]``.

    Args:
        lower: Smallest scale in the range, >= 0. Pixels for ``sqrt_box``, square pixels for ``mask_area``.
        upper: Largest scale in the range, > ``lower``; may be infinite.
        measure: ``sqrt_box`` is sqrt(w * h) of the box, ``mask_area`` the number of mask pixels.
        frame: ``view`` when the bounds count pixels as the network sees them (ISN), ``original`` when they count pixels
            of the original image (SNIP, SNIPER).

    Raises:
        ValueError: If a bound is negative, not a number, or ``lower >= upper``, or an option is unknown.
    """

    lower: float = 0.0
    upper: float = math.inf
    measure: str = 'sqrt_box'
    frame: str = 'view'

    def __post_init__(self) -> None:
        for name in ('lower', 'upper'):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
                raise ValueError(f'ScaleRange.{name} must be a number, got {value!r}')
            object.__setattr__(self, name, float(value))
        # Written so that NaN fails as well.
        if not 0 <= self.lower < self.upper or math.isinf(self.lower):
            raise ValueError(f'ScaleRange needs 0 <= lower < upper, got [{self.lower}, {self.upper}]')
        if self.measure not in MEASURES:
            raise ValueError(f'ScaleRange.measure must be one of {MEASURES}, got {self.measure!r}')
        if self.frame not in FRAMES:
            raise ValueError(f'ScaleRange.frame must be one of {FRAMES}, got {self.frame!r}')

    @classmethod
    def build(cls, cfg: Any) -> 'ScaleRange':
        """Make a range of what a config file may say.

        Args:
            cfg: A ``ScaleRange``, ``None`` (everything is in range), a pair ``(lower, upper)`` whose upper bound may be
                ``None`` for infinite, or a dict of the constructor's arguments.

        Raises:
            ValueError: If ``cfg`` is none of these.
        """
        if isinstance(cfg, cls):
            return cfg
        if cfg is None:
            return cls()
        if isinstance(cfg, dict):
            unknown = sorted(set(cfg) - {'lower', 'upper', 'measure', 'frame'})
            if unknown:
                raise ValueError(
                    f'unknown keys {unknown} in scale range {dict(cfg)}; it has lower, upper, measure and frame'
                )
            kwargs = dict(cfg)
            if kwargs.get('upper', 0) is None:
                kwargs['upper'] = math.inf
            return cls(**kwargs)
        if isinstance(cfg, (list, tuple)) and len(cfg) == 2:
            return cls(cfg[0], math.inf if cfg[1] is None else cfg[1])
        raise ValueError(f'a scale range is a pair (lower, upper), a dict or None, got {cfg!r}')

    @property
    def is_infinite(self) -> bool:
        """Whether every object is in range."""
        return self.lower == 0 and math.isinf(self.upper)

    def contains(self, scales):
        """Tell which scales lie in the range; both bounds do.

        Args:
            scales: A number, array or tensor of scales in this range's measure and frame.

        Returns:
            Booleans of the same shape.
        """
        return (scales >= self.lower) & (scales <= self.upper)

    def contains_boxes(self, boxes_xyxy):
        """Tell which boxes lie in the range.

        Args:
            boxes_xyxy: (..., 4) array or tensor of boxes in this range's frame.

        Returns:
            (...,) booleans.

        Raises:
            ValueError: If the range measures masks, not boxes.
        """
        if self.measure != 'sqrt_box':
            raise ValueError(f'a range of measure {self.measure!r} cannot judge boxes')
        return self.contains(scales_of_boxes(boxes_xyxy))

    def in_view(self, chip: Chip) -> 'ScaleRange':
        """The same range, counted in pixels of the view that ``chip`` is resampled to."""
        return self if self.frame == 'view' else self._rescaled(chip.factor, 'view')

    def in_original(self, chip: Chip) -> 'ScaleRange':
        """The same range, counted in pixels of the original image that ``chip`` is cut from."""
        return self.in_original_at(chip.factor)

    def in_original_at(self, factor: float) -> 'ScaleRange':
        """The same range, counted in original pixels, at a level of ``factor`` view pixels per original pixel."""
        return self if self.frame == 'original' else self._rescaled(1 / factor, 'original')

    def _rescaled(self, factor: float, frame: str) -> 'ScaleRange':
        # An area grows with the square of the factor, sqrt(w * h) with the factor itself.
        gain = factor if self.measure == 'sqrt_box' else factor**2
        return replace(self, lower=self.lower * gain, upper=self.upper * gain, frame=frame)

    def __str__(self) -> str:
        unit = 'px' if self.measure == 'sqrt_box' else 'px^2'
        return f'[{self.lower:g}, {self.upper:g}] {unit} ({self.measure}, {self.frame})'


def scales_of_boxes(boxes_xyxy):
    """sqrt(w * h) of boxes.

    Args:
        boxes_xyxy: (..., 4) array or tensor. An inverted box has scale 0.

    Returns:
        (...,) array or tensor of scales in the boxes' own pixels.
    """
    if isinstance(boxes_xyxy, np.ndarray):
        wh = np.maximum(boxes_xyxy[..., 2:] - boxes_xyxy[..., :2], 0)
        return np.sqrt(wh[..., 0] * wh[..., 1])
    if boxes_xyxy.dtype.itemsize < 4:
        # The area of 256x256 px overflows half precision.
        boxes_xyxy = boxes_xyxy.float()
    wh = (boxes_xyxy[..., 2:] - boxes_xyxy[..., :2]).clamp(min=0)
    return (wh[..., 0] * wh[..., 1]).sqrt()


def is_range_list(cfg: Any) -> bool:
    """Whether a config holds several ranges; a list with a number in it is one range, (lower, upper)."""
    return isinstance(cfg, (list, tuple)) and not any(isinstance(v, Real) for v in cfg)


# Sizes of views are whole pixels, which moves bounds that should meet; gaps below this share of a scale do not count.
GAP_TOLERANCE = 1e-3


def warn_of_scale_gaps(ranges: Sequence[ScaleRange], what: str) -> list[tuple[float, float]]:
    """Warn of the scales between the smallest and the largest covered one that no range holds.

    Args:
        ranges: Ranges of one measure, all in the original frame.
        what: What has these ranges, for the warning.

    Returns:
        Open intervals ``(above, below)`` in original pixels, in ascending order.
    """
    gaps = [(above, below) for above, below in scale_gaps(ranges) if below > above * (1 + GAP_TOLERANCE)]
    if gaps:
        spelled = ', '.join(f'({above:.5g}, {below:.5g})' for above, below in gaps)
        warnings.warn(
            f'objects of scale {spelled} original px are in range of {what}; add one or widen the ranges', stacklevel=3
        )
    return gaps


def scale_gaps(ranges: Sequence[ScaleRange]) -> list[tuple[float, float]]:
    """Find the scales between the smallest and the largest covered one that no range holds.

    Args:
        ranges: Ranges of one measure, all in the original frame.

    Returns:
        Open intervals ``(above, below)`` in ascending order; empty when the ranges join.

    Raises:
        ValueError: If a range is not in the original frame or the measures differ.
    """
    if any(r.frame != 'original' for r in ranges):
        raise ValueError('ranges can be compared in the original frame only; use ScaleRange.in_original')
    if len({r.measure for r in ranges}) > 1:
        raise ValueError(f'ranges of different measures: {[str(r) for r in ranges]}')
    gaps = []
    reach = None
    for r in sorted(ranges, key=lambda r: r.lower):
        if reach is not None and r.lower > reach:
            gaps.append((reach, r.lower))
        reach = r.upper if reach is None else max(reach, r.upper)
    return gaps
