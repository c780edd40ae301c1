"""What the tools that run trials ask for on the command line: data, budget, seeds and folders."""

import argparse
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from .budget import BUDGETS
from .kinds import PICTURE_KINDS
from .tables import ROOT, find_table, table_names

KEPT_RESULTS = ROOT / 'configs' / 'isn' / 'results'
KEPT_SCALENET_RESULTS = ROOT / 'configs' / 'scalenet' / 'results'


def add_arguments(parser: argparse.ArgumentParser, out: str, data: str) -> None:
    """Add the arguments.

    Args:
        parser: The parser.
        out: Default of ``--out``.
        data: What ``--data`` may be, for the help.
    """
    parser.add_argument('--data', default='scenes', help=data)
    parser.add_argument('--budget', choices=BUDGETS, default='smoke', help='how much is trained (default: %(default)s)')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='(default: 0)')
    parser.add_argument('--jobs', type=int, help='runs at a time; by default one per GPU, or per core')
    parser.add_argument('--out', type=Path, default=Path(out), help='(default: %(default)s)')
    parser.add_argument(
        '--results',
        type=Path,
        help='results; by default those of the repository for --budget table on public data, else OUT/results',
    )


def resolve(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Check the arguments and fill in what follows from others.

    Paths are given as seen from the working folder; they are used, printed and kept as seen from the repository.
    """
    if args.jobs is not None and args.jobs < 1:
        parser.error(f'--jobs must be at least 1, got {args.jobs}')
    if args.results is None:
        public = args.data in ('scenes', 'coco') or is_of_pictures(args)
        kept = KEPT_SCALENET_RESULTS if is_of_scalenet(args) else KEPT_RESULTS
        args.results = kept if args.budget == 'table' and public else args.out / 'results'
    args.out, args.results = from_root(args.out), from_root(args.results)
    if args.data not in ('scenes', 'coco', 'config'):
        args.data = str(from_root(Path(args.data)))


def is_of_scalenet(args: argparse.Namespace) -> bool:
    """Whether the table is one of the ScaleNet paper, whose results are kept apart."""
    return Path(getattr(args, 'table', None) or '').stem.startswith('scalenet')


def is_of_pictures(args: argparse.Namespace) -> bool:
    """Whether the table is one of the repository's on MNIST or CIFAR-10."""
    name = getattr(args, 'table', None)
    return name in table_names() and not set(find_table(name).metrics).isdisjoint(PICTURE_KINDS)


def from_root(path: Path) -> Path:
    """A path as seen from the repository.

    Links are not followed: ``data/mnist`` is called so wherever it leads. Outside of the repository a relative path
    stays relative and an absolute one absolute.
    """
    # The second is for a repository that is itself reached by a link.
    for seen in (Path(os.path.abspath(path)), path.resolve()):
        if seen.is_relative_to(ROOT):
            return seen.relative_to(ROOT)
    return path if path.is_absolute() else Path(os.path.relpath(path, ROOT))


def spell_path(path: str | Path) -> str:
    """How results and pages call a file or folder: an absolute path, of no use elsewhere, by its name alone."""
    return f'FOLDER/{Path(path).name}' if os.path.isabs(path) else str(path)


def spell_command(command: Sequence[str], folder: Path | None) -> str:
    """A command as results keep it.

    Args:
        command: Program and arguments.
        folder: Folder of the data, to be spelled by ``spell_path``; ``None`` where it is in no argument.
    """
    if folder is not None and folder.is_absolute():
        command = [part.replace(str(folder), spell_path(folder)) for part in command]
    return shlex.join(command)
