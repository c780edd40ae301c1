"""Suggest factors and range of an image pyramid from a data set's own scales.

Shape shorthand: N objects, I images, L levels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmisn.structures import ScaleRange, warn_of_scale_gaps

from .levels import build_levels
from .scale_fit import (
    CHIP_SIZE,
    COMFORTABLE,
    LOWEST,
    MAX_FACTOR,
    MIN_FACTOR,
    choose_factors,
    choose_range,
    held_by_levels,
    mean_megapixels,
    range_candidates,
    round_px,
)


@dataclass(frozen=True)
class LevelUse:
    """What a level is for.

    Attributes:
        factor: View pixels per original pixel.
        range_original: Scales in original pixels that the range holds at this level.
        comfortable_original: Scales in original pixels that are comfortable at this level.
        in_range: Share of the objects in range.
        only: Share of the objects in range at no other level.
        megapixels: Pixels per image to test this level, in millions.
    """

    factor: float
    range_original: tuple[float, float]
    comfortable_original: tuple[float, float]
    in_range: float
    only: float
    megapixels: float


@dataclass(frozen=True)
class Suggestion:
    """Factors and range, and why.

    Attributes:
        factors: In descending order.
        scale_range: In view pixels.
        chip_size: Longest side of a chip, view pixels.
        covered: Share of the objects that some level has in range.
        comfortable: Share of the objects that are comfortable at some level.
        levels: One per factor.
        reasons: Sentences.
    """

    factors: tuple[float, ...]
    scale_range: ScaleRange
    chip_size: int
    covered: float
    comfortable: float
    levels: tuple[LevelUse, ...]
    reasons: tuple[str, ...]


def suggest(
    scales: np.ndarray,
    images_wh: np.ndarray,
    coverage: float = 0.99,
    factors: Sequence[float] | None = None,
    scale_range: Sequence[float] | ScaleRange | None = None,
    chip_size: int = CHIP_SIZE,
    max_factor: float = MAX_FACTOR,
) -> Suggestion:
    """Suggest factors and range.

    1. **Factors**: powers of two, neighbours an octave apart, at most ``max_factor``. Among all such rows of factors
       that show at least ``coverage`` of the objects at 32 to 160 view px at some level, the one with the fewest pixels
       per image. Objects that no factor can show so (too small for ``max_factor``) do not count here.
    2. **Range**: among the lower bounds 32, 16, 8 and the upper bounds 560, 1120, 2240 px (none above 560/576 of the
       chip), the narrowest range, as upper by lower bound, in which at least ``coverage`` of all objects lie at some
       level; the higher lower bound where two are equal. If none does, the widest.

    A chip below 576 px is taken for a network that is as much smaller, and all the numbers are scaled along; a larger
    chip only leaves room for a higher upper bound. ``scale_fit`` says where the numbers come from.

    Args:
        scales: (N,) sqrt(w * h) of the objects in original pixels.
        images_wh: (I, 2) widths and heights of the images; for the pixels that levels cost.
        coverage: Share of the objects, in (0, 1].
        factors: Use these and choose the range alone.
        scale_range: Use this, in view pixels, and choose the factors alone; what is comfortable is cut to it.
        chip_size: Longest side of training chips, in view pixels.
        max_factor: Largest factor to consider.

    Raises:
        ValueError: If there are no objects or images, a scale is not positive and finite, both factors and range are
            given, or an option is out of its domain.
    """
    scales, images_wh = _check(scales, images_wh, coverage, chip_size, max_factor)
    if factors is not None and scale_range is not None:
        raise ValueError(f'factors {factors} and range {scale_range} are both given: nothing is left to suggest')
    gain = min(1.0, chip_size / CHIP_SIZE)
    comfortable = ScaleRange(COMFORTABLE[0] * gain, COMFORTABLE[1] * gain)
    if scale_range is not None:
        scale_range = _check_range(scale_range)
        comfortable = _cut(comfortable, scale_range)
    reasons = []
    if factors is None:
        factors = choose_factors(scales, images_wh, comfortable, coverage, max_factor)
        reasons.append(_why_factors(scales, factors, comfortable, coverage, max_factor))
    else:
        factors = _check_factors(factors)
    if scale_range is None:
        scale_range = choose_range(scales, factors, range_candidates(chip_size), coverage)
        reasons.append(_why_range(scales, factors, scale_range, gain))
    warn_of_scale_gaps([scale_range.in_original_at(f) for f in factors], f'no level of {list(factors)}')
    held = held_by_levels(scales, factors, scale_range)
    covered = float(held.any(axis=1).mean())
    reasons += _shortfalls(scales, factors, scale_range, covered, coverage)
    return Suggestion(
        factors=factors,
        scale_range=scale_range,
        chip_size=chip_size,
        covered=covered,
        comfortable=float(held_by_levels(scales, factors, comfortable).any(axis=1).mean()),
        levels=tuple(_use(f, i, held, images_wh, scale_range, comfortable) for i, f in enumerate(factors)),
        reasons=tuple(reasons),
    )


def _check(scales, images_wh, coverage, chip_size, max_factor) -> tuple[np.ndarray, np.ndarray]:
    scales = np.asarray(scales, np.float64).reshape(-1)
    images_wh = np.asarray(images_wh, np.int64).reshape(-1, 2)
    if len(scales) == 0 or len(images_wh) == 0:
        raise ValueError(f'there are {len(scales)} objects in {len(images_wh)} images: nothing follows from none')
    wrong = scales[~(np.isfinite(scales) & (scales > 0))]
    if len(wrong):
        raise ValueError(f'{len(wrong)} scales are not positive and finite, such as {wrong[0]}')
    if not 0 < coverage <= 1:
        raise ValueError(f'coverage is a share of the objects, in (0, 1], got {coverage}')
    if not chip_size >= 1:
        raise ValueError(f'chip_size must be at least 1 view px, got {chip_size}')
    if not MIN_FACTOR <= max_factor < math.inf:
        raise ValueError(f'max_factor must be at least {MIN_FACTOR} and finite, got {max_factor}')
    return scales, images_wh


def _check_range(scale_range) -> ScaleRange:
    scale_range = ScaleRange.build(scale_range)
    if scale_range.frame != 'view' or scale_range.measure != 'sqrt_box':
        raise ValueError(f'one range of sqrt(w h) in view pixels is suggested for, got {scale_range}')
    return scale_range


def _check_factors(factors) -> tuple[float, ...]:
    levels = build_levels(list(factors))
    if not all(isinstance(level, float) for level in levels):
        raise ValueError(f'a range is suggested for factors; sizes such as {levels[0]} have none, got {list(factors)}')
    return tuple(sorted(set(levels), reverse=True))


def _cut(comfortable: ScaleRange, scale_range: ScaleRange) -> ScaleRange:
    """What is comfortable within a range; the whole range where factors an octave apart would leave gaps."""
    lower, upper = max(comfortable.lower, scale_range.lower), min(comfortable.upper, scale_range.upper)
    return ScaleRange(lower, upper) if lower > 0 and upper >= 2 * lower else scale_range


def _use(
    factor: float, index: int, held: np.ndarray, images_wh: np.ndarray, scale_range: ScaleRange, comfortable: ScaleRange
) -> LevelUse:
    only = held[:, index] & (held.sum(axis=1) == 1)
    in_original, at_ease = scale_range.in_original_at(factor), comfortable.in_original_at(factor)
    return LevelUse(
        factor=factor,
        range_original=(in_original.lower, in_original.upper),
        comfortable_original=(at_ease.lower, at_ease.upper),
        in_range=float(held[:, index].mean()),
        only=float(only.mean()),
        megapixels=mean_megapixels(images_wh, factor),
    )


def _why_factors(
    scales: np.ndarray, factors: Sequence[float], comfortable: ScaleRange, coverage: float, max_factor: float
) -> str:
    lower, upper = comfortable.lower, comfortable.upper
    largest = 2.0 ** math.floor(math.log2(max_factor))
    tiny = float((~held_by_levels(scales, [largest], ScaleRange(lower))).mean())
    text = (
        f'Factors {", ".join(f"{f:g}" for f in factors)}: the cheapest row of powers of two that shows '
        f'{100 * coverage:g} % of the objects at {lower:.3g} to {upper:.3g} px at some level'
    )
    if tiny == 0:
        return text + '.'
    return text + f' ({100 * tiny:.1f} % are below {lower:.3g} px even at {largest:g} and are not counted).'


def _why_range(scales: np.ndarray, factors: Sequence[float], scale_range: ScaleRange, gain: float) -> str:
    usual, largest, smallest = round_px(LOWEST[0] * gain), max(factors), min(factors)
    text = f'Range {_spell(scale_range)}: objects below {usual:g} px are hard and best left to a larger factor'
    if scale_range.lower >= usual:
        text += '; the factors give nearly all of them one'
    else:
        few = float((~held_by_levels(scales, [largest], ScaleRange(usual))).mean())
        text += f', but {100 * few:.1f} % are below it at the largest factor, {largest:g}, too'
    few = float((~held_by_levels(scales, [smallest], ScaleRange(0, scale_range.upper))).mean())
    return f'{text}. {100 * few:.1f} % are above {scale_range.upper:g} px at the smallest factor, {smallest:g}.'


def _shortfalls(
    scales: np.ndarray, factors: Sequence[float], scale_range: ScaleRange, covered: float, coverage: float
) -> list[str]:
    if covered >= coverage:
        return []
    small = int((~held_by_levels(scales, [max(factors)], ScaleRange(scale_range.lower))).sum())
    large = int((~held_by_levels(scales, [min(factors)], ScaleRange(0, scale_range.upper))).sum())
    return [
        f'Only {100 * covered:.1f} % of the objects are in range at some level, not {100 * coverage:g} %: {small} are '
        f'too small at factor {max(factors):g} (a larger one costs its square in pixels), {large} too large at factor '
        f'{min(factors):g} (a smaller one costs next to nothing).'
    ]


def _spell(scale_range: ScaleRange) -> str:
    return f'[{scale_range.lower:g}, {scale_range.upper:g}] px'
