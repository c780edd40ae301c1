"""Make a data set of synthetic scenes in COCO's format.

python tools/make_scenes.py --out data/scenes --train 1000 --val 200 --small --workers 2
"""

import argparse

from rich.console import Console
from rich.table import Table

from mmisn.datasets.scenes import SceneConfig, make_scenes
from mmisn.datasets.scenes.config import CLASSES


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description='Make a data set of synthetic scenes in COCO format')
    parser.add_argument('--out', required=True, help='folder to make; finished scenes of the same settings are kept')
    parser.add_argument('--train', type=int, default=1000, help='pictures to train on (default: %(default)s)')
    parser.add_argument('--val', type=int, default=200, help='pictures to validate on (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of all pictures (default: %(default)s)')
    parser.add_argument('--small', action='store_true', help='256x192 px instead of 640x480, all scales times 0.4')
    parser.add_argument('--classes', nargs='+', default=CLASSES, help='of the objects (default: all of %(default)s)')
    parser.add_argument('--workers', type=int, default=1, help='processes that draw (default: %(default)s)')
    parser.add_argument('--overwrite', action='store_true', help='replace scenes of other settings')
    return parser.parse_args(argv)


def print_summary(record: dict, console: Console) -> None:
    """Print objects per class and per octave of the visible box's scale, one column per split."""
    summary = record['summary']
    table = Table('', *summary)
    for key in ('images', 'objects', 'unplaced'):
        table.add_row(key, *(str(counts[key]) for counts in summary.values()))
    for key, unit in (('objects_per_class', ''), ('objects_per_octave', ' px')):
        table.add_section()
        names = list(dict.fromkeys(name for counts in summary.values() for name in counts[key]))
        if key == 'objects_per_octave':
            names.sort(key=lambda name: float(name.split('-')[0]))
        for name in names:
            table.add_row(name + unit, *(str(counts[key].get(name, 0)) for counts in summary.values()))
    console.print(table)


def main(argv: list[str] | None = None) -> None:
    """Make the scenes and say what they hold."""
    args = parse_args(argv)
    settings = dict(seed=args.seed, classes=tuple(args.classes))
    config = SceneConfig.small(**settings) if args.small else SceneConfig(**settings)
    record = make_scenes(args.out, args.train, args.val, config, args.workers, args.overwrite, progress=True)
    print_summary(record, Console())


if __name__ == '__main__':
    main()
