"""Train and test the rows of one of the paper's tables and print our numbers beside the paper's.

    python tools/ablate.py --list
    python tools/ablate.py table6 --data scenes --budget smoke            # every row, in minutes; nothing is trained
    python tools/ablate.py table6 --data scenes --budget table --seeds 0 1 2 --rows ResNet-18-FPN
    python tools/ablate.py table4 --data coco --budget table              # on GPUs, one row each
    python tools/ablate.py table6 --data data/mine --budget smoke         # a folder in COCO format
    python tools/ablate.py scalenet-table2 --data data/mnist --budget table --seeds 0 1 2   # MNIST's idx files

Every training and test is an ordinary `mim train` or `mim test` command, which is printed before it runs. A row whose
result is there is not run again; an interrupted training is resumed. Written are TABLE.md, TABLE.csv and TABLE.png.
"""

import argparse
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn.experiments.arguments import add_arguments, from_root, resolve, spell_path
from mmisn.experiments.budget import BUDGETS, Budget
from mmisn.experiments.data import Data, prepare_data
from mmisn.experiments.kinds import PICTURE_KINDS
from mmisn.experiments.picture_data import FOLDERS, PictureData, picture_data
from mmisn.experiments.report import write_report
from mmisn.experiments.report_row import ReportRow
from mmisn.experiments.run import find_missing, results_of, run_trials
from mmisn.experiments.tables import ROOT, Row, Table, find_table, table_names
from mmisn.experiments.trials import Trial, row_trials


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('table', nargs='?', help=f'{", ".join(table_names())}, or a table file')
    data = 'scenes (default), coco, a folder in COCO format; for tables on pictures the folder of MNIST or CIFAR-10'
    add_arguments(parser, 'work_dirs/ablate', data)
    parser.add_argument('--rows', nargs='+', metavar='NAME', help='names or backbones of rows; all by default')
    parser.add_argument('--report', type=Path, help='where table and picture are written (default: OUT)')
    parser.add_argument('--list', action='store_true', help='list tables, or the rows of TABLE, and run nothing')
    parser.add_argument('--dry-run', action='store_true', help='print what would be run')
    parser.add_argument('--no-run', action='store_true', help='make the table of the results that are there')
    args = parser.parse_args(argv)
    if args.table is None and not args.list:
        parser.error(f'name a table: {", ".join(table_names())} (--list says more)')
    resolve(args, parser)
    args.report = args.out if args.report is None else from_root(args.report)
    if args.table is not None and args.table.endswith(('.yml', '.yaml')):
        args.table = str(from_root(Path(args.table)))
    return args


def main(argv: list[str] | None = None) -> int:
    """Run what has no result yet, then write the table; the exit status."""
    args = parse_args(argv)
    console = Console(soft_wrap=True)
    os.chdir(ROOT)
    init_default_scope('mmdet')
    # What the plans of chips say is said again by the trainings.
    MMLogger.get_instance('ablate', log_level='ERROR')
    try:
        if args.list:
            return list_tables(args, console)
        table = find_table(args.table)
        return run_table(table, table.choose(args.rows), args, console)
    except ValueError as error:
        print(f'ablate.py: error: {error}', file=sys.stderr)
        return 2


def list_tables(args: argparse.Namespace, console: Console) -> int:
    """Print the tables, or the rows of one."""
    if args.table is None:
        for name in table_names():
            table = find_table(name)
            console.print(f'{name}: {table.title} ({table.source}, {len(table.rows)} rows)', markup=False)
        return 0
    table = find_table(args.table)
    for row in table.choose(args.rows):
        entry = row.entries.get(table.kind_of(args.data))
        what = 'paper only' if row.paper_only else f'not run on {args.data}' if entry is None else entry.config
        note = ' (smoke only)' if entry is not None and entry.smoke_only else ''
        console.print(f'{row.label}: {what}{note}', markup=False, highlight=False)
    return 0


def run_table(table: Table, rows: Sequence[Row], args: argparse.Namespace, console: Console) -> int:
    """Run the rows, or what the arguments say instead."""
    budget = BUDGETS[args.budget]
    try:
        data = data_of(table, budget, args, console)
    except ValueError as error:
        if not (args.no_run and table.kind_of(args.data) in PICTURE_KINDS):
            raise
        console.print(f'{error}; nothing of it is known', markup=False)
        return report_nothing(table, rows, args, console)
    with console.status('Resolving the rows'):
        trials = {row.label: row_trials(row, data, budget, args.seeds, args.out) for row in rows}
    wanted = [trial for i in range(len(args.seeds)) for of_row in trials.values() for trial in of_row[i : i + 1]]
    missing = find_missing(wanted, args.results, console)
    if args.dry_run:
        return print_commands(missing, min(torch.cuda.device_count(), 1), len(wanted), console)
    failed = run_trials(missing, data, args.results, args.jobs, console) if missing and not args.no_run else []
    report(table, rows, trials, data, budget, args, console)
    if failed:
        console.print(f'{len(failed)} failed: {"; ".join(failed)}', style='red', markup=False)
    return 1 if failed else 0


def data_of(table: Table, budget: Budget, args: argparse.Namespace, console: Console) -> Data | PictureData:
    """The data that the table is run on; without ``--data``, MNIST and CIFAR-10 are where the configs have them."""
    kind = table.kind_of(args.data)
    if kind not in PICTURE_KINDS:
        return prepare_data(args.data, budget, args.out, args.jobs or os.cpu_count() or 1, table.annotations)
    if args.data in ('scenes', 'coco'):
        args.data = str(FOLDERS[kind])
    return picture_data(kind, Path(args.data), budget, console)


def report_nothing(table: Table, rows: Sequence[Row], args: argparse.Namespace, console: Console) -> int:
    """Write the table without any results: its data are not there."""
    shown = [ReportRow(row, [], table.kind_of(args.data)) for row in rows]
    text = write_report(table, shown, args.report / table.name, [f'`{command_of(args)}`'])
    console.print(f'\n{text}', markup=False, highlight=False)
    return 0


def print_commands(missing: Sequence[Trial], gpus: int, wanted: int, console: Console) -> int:
    """Print the commands of what has no result."""
    seen = set()
    for trial in missing:
        for training in trial.trainings:
            commands = [training.mine_command()] if training.negatives else []
            for command in [] if training.key in seen else [*commands, training.command(gpus)]:
                print(shlex.join(command))
            seen.add(training.key)
        print(shlex.join(trial.command(gpus)))
    console.print(f'{wanted - len(missing)} of {wanted} results are there, {len(missing)} are missing')
    return 0


def report(
    table: Table,
    rows: Sequence[Row],
    trials: dict[str, list[Trial]],
    data: Data | PictureData,
    budget: Budget,
    args: argparse.Namespace,
    console: Console,
) -> None:
    """Write and print the table."""
    shown = [ReportRow(r, results_of(trials[r.label], args.results), data.kind) for r in rows]
    notes = [what_was_run(data, budget), f'`{command_of(args)}`']
    if any(trial.training.negatives for of_row in trials.values() for trial in of_row):
        notes.insert(1, 'Training Gpx leaves out the network that proposes negative chips.')
    prefix = args.report / table.name
    text = write_report(table, shown, prefix, notes)
    console.print(f'\n{text}', markup=False, highlight=False)
    console.print(f'{prefix}.md, {prefix}.csv, {prefix}.png', highlight=False)


def command_of(args: argparse.Namespace) -> str:
    """The command that makes the table."""
    command = ['python', 'tools/ablate.py', spell_path(args.table), '--data', spell_path(args.data)]
    command += ['--budget', args.budget, '--seeds', *map(str, args.seeds)]
    return shlex.join([*command, *(['--rows', *args.rows] if args.rows else [])])


def what_was_run(data: Data | PictureData, budget: Budget) -> str:
    """A sentence on data and budget."""
    if budget.name == 'smoke':
        return 'Budget smoke: a few iterations, nothing is trained; the numbers say only that the rows run.'
    if data.kind == 'scenes':
        return (
            f'Ours: {budget.images} synthetic scenes, {budget.pixels_per_image / 1e6:.2f} Mpx per image for every row '
            f'before padding (training Gpx is with it), tested on {budget.val_images}; mean ± standard deviation over '
            'seeds.'
        )
    return f'Ours: {data.name}, trained as the configs say; mean ± standard deviation over seeds.'


if __name__ == '__main__':
    sys.exit(main())
