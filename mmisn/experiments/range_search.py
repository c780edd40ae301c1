"""The greedy search for the ISN range (ISN section 4.2.1, Table 5)."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mmisn.structures import ScaleRange

Range = tuple[float, float]

# The paper's candidates on COCO, in pixels as the network sees them.
LOWERS = (0.0, 16.0, 32.0)
UPPERS = (640.0, 560.0, 496.0, 320.0)


@dataclass(frozen=True)
class Round:
    """One round of the search: one bound varied, the other fixed.

    Attributes:
        bound: ``lower`` or ``upper``.
        scores: Score of each candidate range, in the order of the candidates.
        best: The range chosen.
    """

    bound: str
    scores: dict[Range, float]
    best: Range


@dataclass(frozen=True)
class SearchResult:
    """What a search found.

    Attributes:
        rounds: In order.
        best: The range chosen at last.
        score: Its score.
        is_interior: Whether each of its bounds has candidates on both sides, so that neither wants to leave the list.
    """

    rounds: list[Round]
    best: Range
    score: float
    is_interior: bool

    @property
    def scores(self) -> dict[Range, float]:
        """Every range tried, in the order of the trials."""
        return {tried: score for round_ in self.rounds for tried, score in round_.scores.items()}


def greedy_range_search(
    evaluate: Callable[[Sequence[Range]], Sequence[float]],
    lowers: Sequence[float] = LOWERS,
    uppers: Sequence[float] = UPPERS,
    start: Range | None = None,
) -> SearchResult:
    """Find a good range by varying one bound at a time, until neither changes.

    The paper's order: from the widest range, first the lower bound, then the upper one, then the lower one again. A
    bound that stands is kept unless another one is better; among equal others the first candidate wins.

    Args:
        evaluate: Scores of ranges (lower, upper), higher is better. Called once per round with the ranges that have no
            score yet, so that they can be trained side by side; no range is asked for twice.
        lowers: Candidates of the lower bound.
        uppers: Candidates of the upper bound.
        start: Bounds to start from, by default the smallest lower and the largest upper one. Both are candidates.

    Raises:
        ValueError: If there are no candidates, one is no bound of a range, candidates cross, the start is none of them,
            or a score is not a number.
    """
    lowers, uppers = check_candidates(lowers, uppers)
    lower, upper = (min(lowers), max(uppers)) if start is None else (float(start[0]), float(start[1]))
    if lower not in lowers or upper not in uppers:
        raise ValueError(f'the search cannot start at {[lower, upper]}: candidates are {lowers} and {uppers}')
    scores: dict[Range, float] = {}
    rounds: list[Round] = []
    unchanged, vary_lower = 0, True
    # Two rounds in a row without a change: each bound is the best one for the other. Scores rise with every change, so
    # that this comes.
    while unchanged < 2:
        candidates = [(c, upper) for c in lowers] if vary_lower else [(lower, c) for c in uppers]
        new = [c for c in candidates if c not in scores]
        if new:
            scores.update(zip(new, _checked(evaluate(new), new)))
        best = max(candidates, key=lambda c: (scores[c], c == (lower, upper)))
        unchanged = unchanged + 1 if best == (lower, upper) else 0
        if new or not unchanged:
            rounds.append(Round('lower' if vary_lower else 'upper', {c: scores[c] for c in candidates}, best))
        lower, upper = best
        vary_lower = not vary_lower
    interior = min(lowers) < lower < max(lowers) and min(uppers) < upper < max(uppers)
    return SearchResult(rounds, (lower, upper), scores[lower, upper], interior)


def default_candidates(scale_range: Range) -> tuple[list[float], list[float]]:
    """The paper's candidates in proportion to a range that is to [16, 560] as the data are to COCO.

    Args:
        scale_range: The range that a config has; a lower bound of 0 has no other candidates.
    """
    lower, upper = scale_range
    lowers, uppers = [b * lower / LOWERS[1] for b in LOWERS], [b * upper / UPPERS[1] for b in UPPERS]
    return list(dict.fromkeys(round(b, 6) for b in lowers)), [round(b, 6) for b in uppers]


def check_candidates(lowers: Sequence[float], uppers: Sequence[float]) -> tuple[list[float], list[float]]:
    """Candidates as two lists of numbers without repetitions.

    Raises:
        ValueError: If one list is empty, or some pair is no scale range.
    """
    lowers, uppers = (list(dict.fromkeys(float(c) for c in side)) for side in (lowers, uppers))
    if not lowers or not uppers:
        raise ValueError(f'a search needs candidates for both bounds, got {lowers} and {uppers}')
    if max(lowers) >= min(uppers):
        raise ValueError(f'every lower bound must lie below every upper bound, got {lowers} and {uppers}')
    for lower in lowers:
        ScaleRange(lower, max(uppers))
    return lowers, uppers


def _checked(values: Sequence[float], ranges: Sequence[Range]) -> list[float]:
    values = [float(v) for v in values]
    if len(values) != len(ranges) or any(math.isnan(v) for v in values):
        raise ValueError(f'expected one score per range of {list(ranges)}, got {values}')
    return values
