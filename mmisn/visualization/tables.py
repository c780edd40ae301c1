"""Tables in Markdown and CSV, and the numbers in them."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def markdown_table(header: Sequence[Any], rows: Sequence[Sequence[Any]], left: int = 1) -> str:
    """A Markdown table whose columns line up; the first ``left`` columns are left-aligned, the others right-aligned."""
    cells = [[str(v).replace('|', r'\|') for v in row] for row in (header, *rows)]
    widths = [max(3, *(len(row[i]) for row in cells)) for i in range(len(header))]

    def line(row: Sequence[str]) -> str:
        aligned = (v.ljust(w) if i < left else v.rjust(w) for i, (v, w) in enumerate(zip(row, widths)))
        return '| ' + ' | '.join(aligned) + ' |'

    rule = ['-' * w if i < left else '-' * (w - 1) + ':' for i, w in enumerate(widths)]
    return '\n'.join([line(cells[0]), line(rule), *map(line, cells[1:])])


def write_csv(path: str | Path, header: Sequence[Any], rows: Sequence[Sequence[Any]]) -> None:
    """Write a table as CSV; the folder is made if need be."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with open(path, 'w', newline='') as file:
        writer = csv.writer(file, lineterminator='\n')
        writer.writerow(header)
        writer.writerows(rows)


def percent(values: Sequence[float]) -> np.ndarray:
    """COCO metrics in percent; -1, which COCO gives where there are no objects, is NaN."""
    array = np.asarray(values, np.float64)
    return np.where(array < 0, np.nan, 100 * array)


def spread(values: Sequence[float]) -> float:
    """Standard deviation over seeds, with one degree of freedom less; NaN for fewer than two numbers."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return float(known.std(ddof=1)) if len(known) > 1 else float('nan')


def spell_mean(values: Sequence[float], digits: int = 1) -> str:
    """Mean and, of several numbers, their ``spread``, with so many decimals; ``-`` where there are none."""
    if np.isnan(values).all():
        return '-'
    mean, deviation = f'{np.nanmean(values):.{digits}f}', spread(values)
    return mean if np.isnan(deviation) else f'{mean} ± {deviation:.{digits}f}'
