"""Choose factors and range of an image pyramid by the scales of objects: the two rules of ``suggest``.

The numbers behind them, in view pixels of a network of usual size:

- An object is comfortable at 32 to 160 px. SNIPER's author advises to drop objects below 30 to 40 px where a better
  scale exists; 160 px is where ISN's smallest factor, 0.25, puts COCO's largest objects (640 px). It was chosen so that
  COCO's scales give the paper's factors: that they do is no evidence for the rule.
- The range to begin with is [32, 560] px. Its lower bound falls to 16 or 8 px where even the largest factor leaves too
  many objects below: they have no better scale. So ISN's search ended at [16, 560] on COCO (section 4.2.1, Table 5),
  where objects above 560 px disturbed training.
- 560 of 576 px is the share of a chip that the largest object may have (ISN, section 4.1).

Shape shorthand: N objects, I images, L levels.
"""

import itertools
import math
from collections.abc import Sequence

import numpy as np

from mmisn.structures import ScaleRange

from .levels import level_size

COMFORTABLE = (32.0, 160.0)
LOWEST, HIGHEST = (32.0, 16.0, 8.0), (560.0, 1120.0, 2240.0)
CHIP_SIZE = 576
MAX_FACTOR = 4.0
# Enough for objects of 10,000 px to become comfortable.
MIN_FACTOR = 1 / 64


def choose_factors(
    scales: np.ndarray, images_wh: np.ndarray, comfortable: ScaleRange, coverage: float, max_factor: float = MAX_FACTOR
) -> tuple[float, ...]:
    """The cheapest row of neighbouring powers of two that makes enough objects comfortable.

    Args:
        scales: (N,) in original pixels.
        images_wh: (I, 2) sizes of images.
        comfortable: Scales in view pixels at which an object should be seen by some level.
        coverage: Share of those objects that some power of two up to ``max_factor`` makes comfortable.
        max_factor: Largest factor.

    Returns:
        Factors in descending order; where no object can be made comfortable, the largest alone.
    """
    exponents = range(math.floor(math.log2(max_factor)), math.ceil(math.log2(MIN_FACTOR)) - 1, -1)
    candidates = [2.0**e for e in exponents]
    held = held_by_levels(scales, candidates, comfortable)
    held = held[held.any(axis=1)]
    if len(held) == 0:
        return (candidates[0],)
    costs = [mean_megapixels(images_wh, f) for f in candidates]
    best = None
    for first, last in itertools.combinations_with_replacement(range(len(candidates)), 2):
        if held[:, first : last + 1].any(axis=1).mean() >= coverage:
            cost = sum(costs[first : last + 1])
            best = min(best or (math.inf, 0, 0), (cost, first, last))
    return tuple(candidates[best[1] : best[2] + 1])


def range_candidates(chip_size: int) -> list[ScaleRange]:
    """Ranges that ``choose_range`` chooses among: the narrowest, as upper by lower bound, first."""
    gain = min(1.0, chip_size / CHIP_SIZE)
    largest = chip_size * HIGHEST[0] / CHIP_SIZE
    upper = [u * gain for u in HIGHEST if u * gain <= largest * (1 + 1e-9)]
    ranges = [ScaleRange(round_px(lower * gain), round_px(u)) for lower, u in itertools.product(LOWEST, upper)]
    return sorted(ranges, key=lambda r: (round(r.upper / r.lower, 1), -r.lower))


def choose_range(
    scales: np.ndarray, factors: Sequence[float], candidates: Sequence[ScaleRange], coverage: float
) -> ScaleRange:
    """The first candidate in which a share of ``coverage`` of the objects lies at some level, else the last."""
    for scale_range in candidates:
        if held_by_levels(scales, factors, scale_range).any(axis=1).mean() >= coverage:
            return scale_range
    return candidates[-1]


def held_by_levels(scales: np.ndarray, factors: Sequence[float], view_range: ScaleRange) -> np.ndarray:
    """(N, L) whether the level's range holds the object."""
    return np.stack([view_range.in_original_at(f).contains(scales) for f in factors], axis=1)


def mean_megapixels(images_wh: np.ndarray, factor: float) -> float:
    """Mean pixels per image at a factor, in millions; sizes as they are rounded in testing."""
    sizes, counts = np.unique(images_wh, axis=0, return_counts=True)
    pixels = [math.prod(level_size((int(w), int(h)), factor)) for w, h in sizes]
    return float(np.average(pixels, weights=counts)) / 1e6


def round_px(value: float) -> float:
    """Three digits."""
    return float(f'{value:.3g}')
