"""Tables in Markdown and CSV."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any


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
