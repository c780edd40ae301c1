"""A row of a table with the results that there are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .columns import column_values
from .tables import Row

PAPER_ONLY, NOT_TRAINED, NOT_RUN_HERE = 'paper only', 'not trained', 'no such row'
COSTS = ('training Gpx', 'test Mpx/image', 'test s/image')


@dataclass(frozen=True)
class ReportRow:
    """A row with the results that there are.

    Attributes:
        row: The row.
        results: One per seed; empty for none.
        kind: Kind of data.
    """

    row: Row
    results: Sequence[Mapping[str, Any]]
    kind: str

    @property
    def state(self) -> str:
        """Number of seeds, or why there are none."""
        if self.row.paper_only:
            return PAPER_ONLY
        if self.kind not in self.row.entries:
            return NOT_RUN_HERE
        number = len(self.results)
        return f'{number} seed{"s" if number > 1 else ""}' if number else NOT_TRAINED

    @property
    def _prefix(self) -> str:
        return self.row.entries[self.kind].prefix if self.kind in self.row.entries else ''

    def values(self, key: str) -> np.ndarray:
        """A column over the seeds, see ``column_values``."""
        return column_values(self.results, self._prefix + key, self.kind)

    def cost(self, heading: str) -> float:
        """Mean cost over the seeds that know it; NaN for none, and of a test for a row that shows a part of one."""
        if self._prefix and heading != COSTS[0]:
            return float('nan')
        known = [value for value in (_cost(result, heading) for result in self.results) if value is not None]
        return float(np.mean(known)) if known else float('nan')


def _cost(result: Mapping[str, Any], heading: str) -> float | None:
    pixels, seconds = result['pixels'], result['seconds']
    if heading == COSTS[0]:
        return pixels['train'] / 1e9 if 'train' in pixels else None
    if heading == COSTS[1]:
        return pixels['test_per_image'] / 1e6 if 'test_per_image' in pixels else None
    if 'test_per_image' in seconds:
        return seconds['test_per_image']
    # Of the whole process: the start is in it.
    return seconds['test'] / result['images']['val'] if 'test' in seconds else None
