"""A table of the paper with our numbers beside the paper's: Markdown, CSV and pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from mmisn.visualization import markdown_table, spell_mean, spread, write_csv  # noqa: E402

from .columns import axis_label, column_digits  # noqa: E402
from .curve import plot_curve  # noqa: E402
from .kinds import PICTURE_KINDS  # noqa: E402
from .report_row import COSTS, ReportRow  # noqa: E402
from .tables import Row, Table  # noqa: E402

# Columns of a table that say what a cost would say again.
SAID_BY = {COSTS[1]: ('cost/mpix',), COSTS[2]: ('cost/seconds', 'cost/fps')}


def costs_of(columns: Mapping[str, str]) -> list[str]:
    """The costs that stand behind the columns of a table: those that no column says."""
    return [cost for cost in COSTS if not set(SAID_BY.get(cost, ())) & set(columns)]


def write_report(table: Table, rows: Sequence[ReportRow], prefix: Path, notes: Sequence[str] = ()) -> str:
    """Write ``prefix``.md, .csv and .png, and ``prefix``_curve.png of a table that has a curve and results.

    Args:
        table: The table.
        rows: Its rows, or some of them.
        prefix: Where to write, without suffix.
        notes: Sentences on data, budget and commands, below the table's own.

    Returns:
        The page in Markdown.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    columns = table.metrics[rows[0].kind]
    scenes = table.scenes_notes if rows[0].kind == 'scenes' else ()
    page = markdown(table, rows, columns, [*table.notes, *scenes, *notes])
    page += f'\n![{table.title}]({prefix.name}.png)\n'
    picture = prefix.with_name(f'{prefix.name}_curve.png')
    if table.curve is not None and plot_curve(f'{table.source}: {table.title}', rows, columns, table.curve, picture):
        page += f'\n![{table.curve.y} against {table.curve.x}]({picture.name})\n'
    prefix.with_suffix('.md').write_text(page)
    write_csv(prefix.with_suffix('.csv'), *csv_cells(rows, columns))
    plot(table, rows, columns, prefix.with_suffix('.png'))
    return page


def markdown(table: Table, rows: Sequence[ReportRow], columns: Mapping[str, str], notes: Sequence[str]) -> str:
    """The table as a page: heading, table, notes."""
    # Tables of the ScaleNet paper name no backbones.
    named = any(row.row.backbone for row in rows)
    header = ['', *(['backbone'] if named else []), 'ours']
    for heading in columns.values():
        header += [heading, 'paper']
    cells = []
    for row in rows:
        line = [row.row.name, *([row.row.backbone] if named else []), row.state]
        for key, heading in columns.items():
            digits = column_digits(key, row.kind)
            line += [spell_mean(row.values(key), digits), _spell_paper(row.row, heading, digits)]
        cells.append([*line, *(_spell_cost(row.cost(heading)) for heading in costs_of(columns))])
    lines = [
        f'## {table.title}',
        '',
        f'{table.source}.',
        '',
        markdown_table([*header, *costs_of(columns)], cells, left=2 + named),
        '',
    ]
    return '\n'.join([*lines, *(f'- {note}' for note in notes)]) + '\n'


def _spell_paper(row: Row, heading: str, digits: int) -> str:
    return f'{row.paper[heading]:.{digits}f}' if heading in row.paper else '-'


def _spell_cost(value: float) -> str:
    return '-' if np.isnan(value) else f'{value:.3g}'


def csv_cells(rows: Sequence[ReportRow], columns: Mapping[str, str]) -> tuple[list[str], list[list[Any]]]:
    """Header and rows of the CSV file: plain numbers, empty where there are none."""
    header = ['name', 'backbone', 'state', 'seeds']
    for heading in columns.values():
        header += [f'{heading} mean', f'{heading} std', f'{heading} paper']
    cells = []
    for row in rows:
        line: list[Any] = [row.row.name, row.row.backbone, row.state, len(row.results)]
        for key, heading in columns.items():
            values = row.values(key)
            mean = np.nan if np.isnan(values).all() else np.nanmean(values)
            line += [_number(mean), _number(spread(values)), row.row.paper.get(heading, '')]
        cells.append([*line, *(_number(row.cost(heading)) for heading in costs_of(columns))])
    return [*header, *costs_of(columns)], cells


def _number(value: float) -> str | float:
    return '' if np.isnan(value) else round(float(value), 6)


def plot(table: Table, rows: Sequence[ReportRow], columns: Mapping[str, str], path: Path) -> None:
    """Draw a panel per metric: a line per row, ours filled with the spread over seeds, the paper's hollow."""
    size = (2.6 + 2.4 * len(columns), 1.7 + 0.34 * len(rows))
    figure, axes = plt.subplots(1, len(columns), sharey=True, squeeze=False, figsize=size, layout='constrained')
    places = np.arange(len(rows))
    for axis, (key, heading) in zip(axes[0], columns.items()):
        values = [row.values(key) for row in rows]
        means = np.array([np.nan if np.isnan(v).all() else np.nanmean(v) for v in values])
        spreads = np.nan_to_num([spread(v) for v in values])
        paper = np.array([row.row.paper.get(heading, np.nan) for row in rows], np.float64)
        axis.scatter(paper, places, marker='o', facecolors='none', edgecolors='tab:gray', s=40, label=_papers(rows[0]))
        axis.errorbar(means, places, xerr=spreads, fmt='o', ms=6, capsize=3, color='tab:blue', label=_ours(rows[0]))
        axis.set_xlabel(axis_label(key, heading))
        axis.grid(axis='x', alpha=0.3)
        axis.set_ylim(len(rows) - 0.5, -0.5)
        _shade_backbones(axis, rows)
    axes[0][0].set_yticks(places, [_tick(row) for row in rows], fontsize='small')
    figure.suptitle(f'{table.source}: {table.title}', fontsize='medium', wrap=True)
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc='outside lower center', ncols=2, fontsize='small')
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _ours(row: ReportRow) -> str:
    return 'ours, synthetic scenes' if row.kind == 'scenes' else 'ours'


def _papers(row: ReportRow) -> str:
    return 'paper' if row.kind in PICTURE_KINDS else 'paper, COCO'


def _tick(row: ReportRow) -> str:
    return row.row.label if row.results else f'{row.row.label} ({row.state})'


def _shade_backbones(axis: Any, rows: Sequence[ReportRow]) -> None:
    """Tell groups of rows with one backbone from the next by a grey ground."""
    shaded = False
    for i, row in enumerate(rows):
        shaded ^= i > 0 and row.row.backbone != rows[i - 1].row.backbone
        if shaded:
            axis.axhspan(i - 0.5, i + 0.5, color='0.95', zorder=-1)
