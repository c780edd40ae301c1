"""The table of a benchmark."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmisn.visualization import markdown_table, write_csv


@dataclass(frozen=True)
class Target:
    """A bound on a ratio.

    Args:
        bound: The bound; it meets the target itself.
        at_least: Whether the ratio must be at least the bound; else at most.
    """

    bound: float
    at_least: bool

    def is_met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f'{"at least" if self.at_least else "at most"} {self.bound:g}'


@dataclass(frozen=True)
class Row:
    """One measurement.

    Attributes:
        what: What was measured.
        ours: Our figure with its unit.
        yardstick: What it is compared with, with name and unit; empty where there is none.
        ratio: The comparison. ``None`` for none.
        target: Bound on the ratio, if there is one.
        ratio_is: What the ratio says, after its number: ``x as fast`` (the default), ``x the time`` and so on.
    """

    what: str
    ours: str
    yardstick: str = ''
    ratio: float | None = None
    target: Target | None = None
    ratio_is: str = 'x as fast'

    def cells(self) -> list[str]:
        """The row as texts: what, ours, yardstick, ratio, target."""
        ratio = '' if self.ratio is None else f'{self.ratio:.3g} {self.ratio_is}'
        target = ''
        if self.target is not None and self.ratio is not None:
            target = f'{self.target}: {"met" if self.target.is_met(self.ratio) else "MISSED"}'
        return [self.what, self.ours, self.yardstick, ratio, target]


HEADER = ('what', 'ours', 'yardstick', 'ratio', 'target')


CSV_HEADER = ('what', 'ours', 'yardstick', 'ratio', 'ratio_is', 'target', 'met')


def report_markdown(rows: Sequence[Row]) -> str:
    """The rows as one Markdown table."""
    return markdown_table(HEADER, [row.cells() for row in rows], left=len(HEADER)) + '\n'


def report_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the rows, with the ratio and the bound as plain numbers."""
    write_csv(path, CSV_HEADER, [_plain_cells(row) for row in rows])


def _plain_cells(row: Row) -> list[str]:
    if row.ratio is None:
        return [row.what, row.ours, row.yardstick, '', '', '', '']
    target, met = ('', '') if row.target is None else (str(row.target), str(row.target.is_met(row.ratio)))
    return [row.what, row.ours, row.yardstick, repr(float(row.ratio)), row.ratio_is, target, met]
