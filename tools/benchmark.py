"""Measure planning, loading, pixels, assigning, merging and masks, each against a yardstick in the same run; one table.

python tools/benchmark.py all --out work_dirs/benchmark
python tools/benchmark.py planning merging --rounds 20
python tools/benchmark.py windows --detector CONFIG CHECKPOINT --scale-net SCALE_NET_CHECKPOINT --pictures FOLDER
python tools/benchmark.py focus --detector CONFIG CHECKPOINT --scale-net CHECKPOINT --pyramid CONFIG --pictures FOLDER
python tools/benchmark.py sahi --detector CONFIG CHECKPOINT --scale-net SCALE_NET_CHECKPOINT --sahi INNER_CONFIG
"""

import argparse
import os
import platform
import tempfile
import warnings
from contextlib import ExitStack, redirect_stdout
from io import StringIO
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn.testing.benchmarks import (
    CocoFolder,
    Row,
    assigning,
    find_coco_folder,
    focus,
    loading,
    masks,
    merging,
    pixels,
    planning,
    report_csv,
    report_markdown,
    sahi_slices,
    windows,
    write_coco_like,
)

SECTIONS = ('planning', 'loading', 'pixels', 'assigning', 'merging', 'masks')
# Needs a trained detector; ``all`` has it where there is one.
WINDOWS = 'windows'
# Needs a detector, and a config of the whole pyramid beside that in focus.
FOCUS = 'focus'
# Needs a detector and SAHI.
SAHI = 'sahi'
# Pictures that are drawn where there is no real data.
NUM_DRAWN = 60


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description='Measure speed and pixels, each against a yardstick in the same run')
    every = (*SECTIONS, WINDOWS, FOCUS, SAHI)
    known = ', '.join(every)
    parser.add_argument('sections', nargs='*', default=['all'], metavar='SECTION', help=f'{known} or all')
    parser.add_argument('--rounds', type=int, default=10, help='how often each thing is timed (default: %(default)s)')
    parser.add_argument('--out', help='write OUT.md and OUT.csv, too')
    parser.add_argument('--data', help='COCO folder: images/ and annotations/instances_train*.json')
    parser.add_argument('--with-step', action='store_true', help='time a training step beside the loader')
    parser.add_argument(
        '--detector',
        nargs=2,
        metavar=('CONFIG', 'CHECKPOINT'),
        help='for windows, focus, sahi: a ChipDetector and weights',
    )
    parser.add_argument(
        '--scale-net', metavar='CHECKPOINT', help='for windows, focus, sahi: of its scale net (default: as CONFIG says)'
    )
    parser.add_argument(
        '--pictures', metavar='FOLDER', help='for windows, focus: pictures, of which at most 20 are timed'
    )
    parser.add_argument('--pyramid', metavar='CONFIG', help='for focus: the whole pyramid around the same detector')
    parser.add_argument('--sahi', metavar='CONFIG', help='for sahi: the detector inside, as it tests without chips')
    parser.add_argument('--small', type=float, default=32, help='for sahi: where small ends, px (default: %(default)s)')
    args = parser.parse_args(argv)
    unknown = [s for s in args.sections if s not in (*every, 'all')]
    if unknown:
        parser.error(f'unknown sections {unknown}; there are {known} and all')
    if (WINDOWS in args.sections or args.pictures) and not (args.detector and args.pictures):
        parser.error('windows needs both --detector CONFIG CHECKPOINT and --pictures FOLDER')
    if (FOCUS in args.sections or args.pyramid) and not (args.detector and args.pictures and args.pyramid):
        parser.error('focus needs --detector CONFIG CHECKPOINT, --pyramid CONFIG and --pictures FOLDER')
    if (SAHI in args.sections or args.sahi) and not (args.detector and args.sahi):
        parser.error('sahi needs both --detector CONFIG CHECKPOINT and --sahi CONFIG')
    if args.detector and not (args.pictures or args.sahi):
        parser.error('--detector is for windows and focus, with --pictures FOLDER, and for sahi, with --sahi CONFIG')
    if args.scale_net and not args.detector:
        parser.error('--scale-net needs --detector CONFIG CHECKPOINT')
    if args.rounds < 1:
        parser.error(f'--rounds must be at least 1, got {args.rounds}')
    lent = {WINDOWS: args.pictures, FOCUS: args.pyramid, SAHI: args.sahi}
    possible = (*SECTIONS, *(section for section, given in lent.items() if given))
    args.sections = possible if 'all' in args.sections else tuple(s for s in possible if s in args.sections)
    return args


def run_sections(args: argparse.Namespace, folder: CocoFolder, real: bool, console: Console) -> list[Row]:
    """Measure, with a progress bar.

    Args:
        args: Of ``parse_args``.
        folder: Images for loading, pixels and masks.
        real: Whether they are real, so that planning takes their boxes, too.
        console: Where the bar goes.
    """
    makers = dict(
        planning=lambda: planning.jobs(folder if real else None, args.rounds),
        loading=lambda: loading.jobs(folder, args.rounds, args.with_step),
        pixels=lambda: pixels.jobs(folder),
        assigning=lambda: assigning.jobs(args.rounds),
        merging=lambda: merging.jobs(args.rounds),
        masks=lambda: masks.jobs(folder, args.rounds),
        windows=lambda: windows.jobs(
            windows.WindowsDetector(*args.detector, args.scale_net, args.pictures), args.rounds
        ),
        focus=lambda: focus.jobs(
            windows.WindowsDetector(*args.detector, args.scale_net, args.pictures), args.pyramid, args.rounds
        ),
        sahi=lambda: sahi_slices.jobs(
            sahi_slices.SahiComparison(
                windows.WindowsDetector(*args.detector, args.scale_net, None), args.sahi, args.small
            )
        ),
    )
    jobs = [job for section in args.sections for job in makers[section]()]
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn('{task.description}'))
    rows = []
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task('', total=len(jobs))
        for name, measure in jobs:
            progress.update(task, description=name)
            rows += measure()
            progress.advance(task)
    return rows


def main(argv: list[str] | None = None) -> None:
    """Measure and write the table."""
    args = parse_args(argv)
    warnings.filterwarnings('ignore')
    init_default_scope('mmdet')
    MMLogger.get_instance('benchmark', log_level='ERROR')
    with ExitStack() as stack:
        # pycocotools reports each file that it reads.
        stack.enter_context(redirect_stdout(StringIO()))
        folder = find_coco_folder(args.data)
        real = folder is not None
        if not real:
            temporary = stack.enter_context(tempfile.TemporaryDirectory())
            folder = write_coco_like(Path(temporary) / 'data', NUM_DRAWN, np.random.default_rng(0))
        rows = run_sections(args, folder, real, Console(stderr=True))
    table = report_markdown(rows)
    note = (
        f'\n{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, {args.rounds} rounds.\n'
    )
    print(table + note)
    if args.out:
        Path(args.out).parent.mkdir(parents=True, exist_ok=True)
        Path(f'{args.out}.md').write_text(table + note, encoding='utf-8')
        report_csv(rows, Path(f'{args.out}.csv'))


if __name__ == '__main__':
    main()
