"""The table of a benchmark."""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


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


def markdown_table(rows: Sequence[Row]) -> str:
    """The rows as one Markdown table, its columns aligned."""
    lines = [list(HEADER), *(row.cells() for row in rows)]
    lines = [[cell.replace('|', '\\|') for cell in line] for line in lines]
    widths = [max(3, *(len(line[i]) for line in lines)) for i in range(len(HEADER))]
    lines.insert(1, ['-' * width for width in widths])
    return '\n'.join('| ' + ' | '.join(c.ljust(w) for c, w in zip(line, widths)) + ' |' for line in lines) + '\n'


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write the rows, with the ratio and the bound as plain numbers."""
    with open(path, 'w', newline='', encoding='utf-8') as file:
        writer = csv.writer(file)
        writer.writerow(['what', 'ours', 'yardstick', 'ratio', 'ratio_is', 'target', 'met'])
        for row in rows:
            target, met = ('', '')
            if row.target is not None and row.ratio is not None:
                target, met = str(row.target), row.target.is_met(row.ratio)
            ratio, ratio_is = ('', '') if row.ratio is None else (repr(float(row.ratio)), row.ratio_is)
            writer.writerow([row.what, row.ours, row.yardstick, ratio, ratio_is, target, met])
