"""What a ScaleNet predicts: classes of scale, or a relative scale (ScaleNet, "Scale Net Implementation Details")."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np

from mmisn.structures import ScaleRange
from mmisn.structures.scale_range import MEASURES

BACKGROUND = 0
# Of class maps; what no class label can be.
IGNORED = 255
# Of maps of relative scale.
IGNORED_SCALE = -1.0


def check_measure(measure: str) -> str:
    """Raise ``ValueError`` unless ``measure`` is one of those of ``ScaleRange``."""
    if measure not in MEASURES:
        raise ValueError(f'measure must be one of {MEASURES}, got {measure!r}')
    return measure


@dataclass(frozen=True)
class ScaleClasses:
    """Classes of object scale: 0 is background, class i holds the scales from bound i - 1 up to, not with, bound i.

    The first class begins at 0 and the last one has no end, so that every object has a class: n bounds make n + 1
    classes and the background.

    Args:
        bounds: Ascending bounds between the classes, as the network sees the image: pixels for ``sqrt_box``, square
            pixels for ``mask_area``.
        measure: ``sqrt_box``, sqrt(w * h) of the box, or ``mask_area``, the number of pixels of the mask.

    Raises:
        ValueError: If there are no bounds or more than 250, they do not ascend from above 0, or the measure is unknown.
    """

    bounds: tuple[float, ...]
    measure: str = 'sqrt_box'

    def __post_init__(self) -> None:
        bounds = tuple(self.bounds) if isinstance(self.bounds, Sequence) else (self.bounds,)
        if any(isinstance(b, bool) or not isinstance(b, Real) for b in bounds):
            raise ValueError(f'bounds of scale classes must be numbers, got {self.bounds!r}')
        bounds = tuple(float(b) for b in bounds)
        # Written so that NaN fails as well.
        if not 1 <= len(bounds) <= 250 or not all(a < b for a, b in zip((0.0, *bounds), (*bounds, math.inf))):
            raise ValueError(f'bounds of scale classes must be finite, above 0 and ascend, got {self.bounds!r}')
        object.__setattr__(self, 'bounds', bounds)
        check_measure(self.measure)

    @property
    def num_classes(self) -> int:
        """Number of classes, background included."""
        return len(self.bounds) + 2

    @property
    def ranges(self) -> tuple[ScaleRange, ...]:
        """The range of each class but the background; a range is closed, so it ends one floating point step below."""
        edges = (0.0, *self.bounds, math.inf)
        return tuple(
            ScaleRange(a, b if b == math.inf else math.nextafter(b, 0), self.measure) for a, b in zip(edges, edges[1:])
        )

    @property
    def bounds_px(self) -> tuple[float, ...]:
        """The ``num_classes`` edges of the classes as lengths: class i is [bounds_px[i - 1], bounds_px[i]).

        Pixels as the network sees the image: sqrt(w * h) or sqrt(mask area). The first is 0, the last infinite.
        """
        inner = self.bounds if self.measure == 'sqrt_box' else tuple(math.sqrt(b) for b in self.bounds)
        return (0.0, *inner, math.inf)

    @property
    def names(self) -> tuple[str, ...]:
        """A name per class, background first: ``8-16`` and the like, in pixels."""
        edges = [f'{round(b, 1):g}' for b in self.bounds_px[1:-1]]
        return ('background', f'0-{edges[0]}', *(f'{a}-{b}' for a, b in zip(edges, edges[1:])), f'{edges[-1]}+')

    def classes_of(self, scales: np.ndarray) -> np.ndarray:
        """The class of each object.

        Args:
            scales: (N,) scales in this measure.

        Returns:
            (N,) uint8 classes >= 1.

        Raises:
            ValueError: If a scale is negative or not a number.
        """
        scales = np.asarray(scales, dtype=np.float64)
        classes = np.zeros(scales.shape, np.uint8)
        for label, scale_range in enumerate(self.ranges, 1):
            classes[scale_range.contains(scales)] = label
        if not classes.all():
            raise ValueError(f'scales of objects must be >= 0, got {scales[classes == 0].tolist()}')
        return classes


def octave_bounds(lower: float, upper: float) -> tuple[float, ...]:
    """Bounds that double from ``lower`` to ``upper``: (8, 512) gives 8, 16, ..., 512.

    Raises:
        ValueError: If ``upper`` is not ``lower`` times a power of 2, or a bound is not above 0.
    """
    ratio = upper / lower if lower > 0 else 0
    octaves = round(math.log2(ratio)) if ratio >= 1 else -1
    if octaves < 0 or not math.isclose(ratio, 2**octaves):
        raise ValueError(f'octaves need bounds of 0 < lower and upper = lower * 2^n, got ({lower}, {upper})')
    return tuple(lower * 2**i for i in range(octaves + 1))
