"""Which pixels of a scale map are out of range, and by what a region is rescaled (ScaleNet, Algorithm 1).

Scale maps are NumPy arrays of the height and width of the view that they belong to. Regression: (H, W), relative scale,
0 is background. Classes: (C, H, W) probabilities, class 0 is background.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mmisn.structures import ScaleRange


def top_k(values: np.ndarray, fraction: float) -> float:
    """Mean of the largest values, the paper's ``TopK(x, k)``.

    Args:
        values: Array of any shape with at least one value.
        fraction: Share of the values that counts, in (0, 1]; rounded to whole values, at least one.

    Raises:
        ValueError: If there are no values, or the share is out of its domain.
    """
    values = np.asarray(values, dtype=np.float64).reshape(-1)
    _check_top_k(fraction)
    if values.size == 0:
        raise ValueError('top_k needs at least one value, got none')
    count = max(1, round(fraction * values.size))
    return float(np.partition(values, values.size - count)[values.size - count :].mean())


def check_scale_map(scale_map: Any, size_wh: tuple[int, int] | None = None) -> np.ndarray:
    """Check a scale map where it comes in.

    Args:
        scale_map: (H, W) relative scales or (C, H, W) probabilities of classes.
        size_wh: Width and height of the view that it belongs to; ``None`` for any.

    Returns:
        The map as a NumPy array.

    Raises:
        ValueError: If it is no numeric array of two or three axes, has another size, or a value is negative, infinite
            or not a number.
    """
    scale_map = np.asarray(scale_map)
    if scale_map.dtype.kind not in 'fiub' or scale_map.ndim not in (2, 3):
        raise ValueError(
            'a scale map is a (height, width) array of relative scales or (classes, height, width) of probabilities, '
            f'got {scale_map.dtype} of shape {scale_map.shape}'
        )
    if size_wh is not None and scale_map.shape[-2:] != tuple(size_wh)[::-1]:
        raise ValueError(
            f'the scale map of a view of {size_wh[0]}x{size_wh[1]} px must have height {size_wh[1]} and width '
            f'{size_wh[0]}, got shape {scale_map.shape}'
        )
    if scale_map.size and not (math.isfinite(smallest := scale_map.min()) and math.isfinite(scale_map.max())):
        bad = int((~np.isfinite(scale_map)).sum())
        raise ValueError(f'a scale map must be finite, {bad} of its {scale_map.size} values are not')
    if scale_map.size and smallest < 0:
        raise ValueError(f'a scale map holds scales or probabilities, none below 0, got {smallest}')
    return scale_map


def check_scale_maps(maps: Sequence[Any], sizes_wh: Sequence[tuple[int, int]]) -> list[np.ndarray]:
    """Check the maps of several views; see ``check_scale_map``.

    Raises:
        ValueError: If a map is bad, or there is not one per view.
    """
    if len(maps) != len(sizes_wh):
        raise ValueError(f'{len(maps)} scale maps for {len(sizes_wh)} views')
    return [check_scale_map(m, size_wh) for m, size_wh in zip(maps, sizes_wh)]


@dataclass(frozen=True)
class RegressionRule:
    """Out of range is what lies above R_H or below R_L; a region is rescaled by 1 / Top-K.

    Args:
        lower: The paper's R_L, a relative scale > 0; ``None`` for no lower bound.
        upper: The paper's R_H, > ``lower``; ``None`` for no upper bound.
        top_k: The paper's k, a share in (0, 1].
        background: Pixels of at most this relative scale are background and never out of range.

    Raises:
        ValueError: If an argument is out of its domain.
    """

    lower: float | None = None
    upper: float | None = None
    top_k: float = 0.15
    background: float = 0.0
    _range: ScaleRange = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_top_k(self.top_k)
        if not 0 <= self.background < math.inf:
            raise ValueError(f'RegressionRule.background must be a relative scale >= 0, got {self.background!r}')
        for name in ('lower', 'upper'):
            bound = getattr(self, name)
            if bound is not None and not self.background < bound < math.inf:
                raise ValueError(
                    f'RegressionRule.{name} must be a finite relative scale above background = {self.background:g}, '
                    f'or None, got {bound!r}'
                )
        object.__setattr__(self, '_range', ScaleRange.build((self.lower or 0.0, self.upper)))

    def out_of_range(self, scale_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which pixels are too small and which too large.

        Args:
            scale_map: (H, W) relative scales.

        Returns:
            Two (H, W) bool arrays: the paper's P_s (it writes P_l where it means these once) and P_l.

        Raises:
            ValueError: If the map holds classes.
        """
        self._check(scale_map)
        outside = (scale_map > self.background) & ~self._range.contains(scale_map)
        # The bounds are apart, so that what is outside and not above is below.
        above = outside & ~ScaleRange(0.0, self._range.upper).contains(scale_map)
        return outside & ~above, above

    def factor(self, scale_map: np.ndarray, pixels: np.ndarray) -> float | None:
        """What a region is multiplied by.

        Args:
            scale_map: (H, W) relative scales.
            pixels: (H, W) bool, the pixels of the region that count.

        Returns:
            1 / Top-K over the pixels above background; ``None`` where there are none or Top-K is in range.

        Raises:
            ValueError: If the map holds classes.
        """
        self._check(scale_map)
        values = scale_map[pixels]
        values = values[values > self.background]
        if values.size == 0:
            return None
        relative = top_k(values, self.top_k)
        return None if self._range.contains(relative) else 1 / relative

    @staticmethod
    def _check(scale_map: np.ndarray) -> None:
        if scale_map.ndim != 2:
            raise ValueError(
                f'RegressionRule reads (height, width) maps of relative scales, got shape {scale_map.shape}; maps of '
                'classes take a ClassRule'
            )


@dataclass(frozen=True, init=False)
class ClassRule:
    """Out of range are the pixels of some classes; a region is rescaled by a fixed factor.

    Args:
        small: Classes that are too small; class 0 is background.
        large: Classes that are too large.
        threshold: A pixel counts if the probabilities of these classes add up to more than this, in [0, 1); where it
            would count for both, the more probable side has it. ``None`` for the argmax rule: a pixel counts if its
            most probable class is among them.
        factor: What a region of small objects is multiplied by, one of large objects divided by; > 1.

    Raises:
        ValueError: If an argument is out of its domain.
    """

    small: tuple[int, ...]
    large: tuple[int, ...]
    threshold: float | None
    magnification: float

    def __init__(
        self,
        small: Sequence[int] = (1,),
        large: Sequence[int] = (),
        threshold: float | None = 0.3,
        factor: float = 2.0,
    ) -> None:
        for name, classes in (('small', small), ('large', large)):
            if any(c != int(c) or c < 1 for c in classes):
                raise ValueError(f'ClassRule.{name} must be classes >= 1 (0 is background), got {classes!r}')
            object.__setattr__(self, name, tuple(int(c) for c in classes))
        if set(self.small) & set(self.large) or not self.small + self.large:
            raise ValueError(f'ClassRule needs some classes, none both small and large, got {small!r} and {large!r}')
        if threshold is not None and not 0 <= threshold < 1:
            raise ValueError(f'ClassRule.threshold must be a probability in [0, 1) or None, got {threshold!r}')
        if not 1 < factor < math.inf:
            raise ValueError(f'ClassRule.factor must be finite and above 1, got {factor!r}')
        object.__setattr__(self, 'threshold', threshold)
        object.__setattr__(self, 'magnification', float(factor))

    def out_of_range(self, scale_map: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which pixels are too small and which too large.

        Args:
            scale_map: (C, H, W) probabilities.

        Returns:
            Two (H, W) bool arrays; no pixel is in both.

        Raises:
            ValueError: If the map holds relative scales, or lacks a class.
        """
        self._check(scale_map)
        if self.threshold is None:
            best = scale_map.argmax(axis=0)
            return np.isin(best, self.small), np.isin(best, self.large)
        small, large = (scale_map[list(classes)].sum(axis=0) for classes in (self.small, self.large))
        return (small > self.threshold) & (small >= large), (large > self.threshold) & (large > small)

    def factor(self, scale_map: np.ndarray, pixels: np.ndarray) -> float | None:
        """What a region is multiplied by.

        Args:
            scale_map: (C, H, W) probabilities.
            pixels: (H, W) bool, the pixels of the region that count.

        Returns:
            The rule's factor where more of the pixels are too small than too large (or as many), its inverse where more
            are too large; ``None`` where none is out of range.

        Raises:
            ValueError: If the map holds relative scales, or lacks a class.
        """
        num_small, num_large = (int(np.count_nonzero(side & pixels)) for side in self.out_of_range(scale_map))
        if num_small == num_large == 0:
            return None
        return self.magnification if num_small >= num_large else 1 / self.magnification

    def _check(self, scale_map: np.ndarray) -> None:
        needed = 1 + max(self.small + self.large)
        if scale_map.ndim != 3 or len(scale_map) < needed:
            raise ValueError(
                f'ClassRule with classes {self.small + self.large} reads (classes, height, width) maps of at least '
                f'{needed} classes, got shape {scale_map.shape}; maps of relative scales take a RegressionRule'
            )


PixelRule = RegressionRule | ClassRule
_RULES = {rule.__name__: rule for rule in (RegressionRule, ClassRule)}


def build_pixel_rule(cfg: Any) -> PixelRule:
    """Make a rule of what a config may say.

    Args:
        cfg: A rule, or a dict with its ``type`` and its arguments.

    Raises:
        ValueError: If it is neither, or an argument is unknown or out of its domain.
    """
    if isinstance(cfg, tuple(_RULES.values())):
        return cfg
    if not isinstance(cfg, dict) or cfg.get('type') not in _RULES:
        raise ValueError(f'a pixel rule is a dict whose type is one of {sorted(_RULES)}, got {cfg!r}')
    arguments = {k: v for k, v in cfg.items() if k != 'type'}
    try:
        return _RULES[cfg['type']](**arguments)
    except TypeError as error:
        raise ValueError(f'{cfg["type"]} does not take {arguments}: {error}') from error


def _check_top_k(fraction: float) -> None:
    if not 0 < fraction <= 1:
        raise ValueError(f'top_k is a share of the values, in (0, 1], got {fraction!r}')
