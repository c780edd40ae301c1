"""What the columns of a table hold: a metric of the results, or what the tests have cost."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmisn.visualization import percent

from .kinds import PICTURE_KINDS, digits_of, metric_prefix

# Metrics of ``ViewCostHook`` that a column may show, with their decimals. ``cost/fps`` and the pixels of a scale net
# beside those of the detector follow from its metrics.
COST_DIGITS = {'cost/fps': 1, 'cost/mpix': 3, 'cost/seconds': 3, 'cost/views': 1}
COST_PREFIX = 'cost/'


@dataclass(frozen=True)
class Curve:
    """Two columns that are drawn against each other, a point per row.

    Attributes:
        x: Heading of the column along the x axis.
        y: Heading of the other one.
    """

    x: str
    y: str


def check_column(key: str, kind: str, where: str) -> None:
    """Check that a metric key is one of this kind of data.

    Raises:
        ValueError: If it asks for a cost that is not known, or of pictures, whose tests do not tell it.
    """
    if not key.startswith(COST_PREFIX):
        return
    if kind in PICTURE_KINDS:
        raise ValueError(f'{where}: {key!r} is of detection; tests on {kind} have no {COST_PREFIX} metrics')
    if key not in COST_DIGITS:
        raise ValueError(f'{where}: unknown cost {key!r}; there are {", ".join(COST_DIGITS)}')


def column_values(results: Sequence[Mapping[str, Any]], key: str, kind: str) -> np.ndarray:
    """A column over the seeds: metrics in percent, costs as they are; a result that lacks it has NaN.

    Args:
        results: One per seed.
        key: Key of the metric.
        kind: Kind of data.
    """
    if key.startswith(COST_PREFIX):
        return np.array([_cost(result['metrics'], key) for result in results], np.float64)
    return percent([result['metrics'].get(f'{metric_prefix(kind)}/{key}', -1) for result in results])


def _cost(metrics: Mapping[str, float], key: str) -> float:
    if key == 'cost/fps':
        return 1 / metrics['cost/seconds'] if metrics.get('cost/seconds') else float('nan')
    if key == 'cost/mpix':
        return view_mpix(metrics) if key in metrics else float('nan')
    return metrics.get(key, float('nan'))


def view_mpix(metrics: Mapping[str, float]) -> float:
    """Millions of pixels per image that the detector and, where there is one, the scale net have looked at."""
    return metrics['cost/mpix'] + metrics.get('cost/scale_net_mpix', 0.0)


def column_digits(key: str, kind: str) -> int:
    """Decimals of a column."""
    return COST_DIGITS.get(key, digits_of(kind))


def axis_label(key: str, heading: str) -> str:
    """What a column is called along an axis."""
    return heading if key.startswith(COST_PREFIX) else f'{heading} (%)'
