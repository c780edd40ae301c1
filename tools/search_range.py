"""Search the ISN range of a config on a dataset, as section 4.2.1 of the paper does.

    python tools/search_range.py configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py --budget table
    python tools/search_range.py my_config.py --data config --budget table --lowers 0 8 16 --uppers 640 560 320

From the widest range the lower bound is varied, then the upper one, and so on until neither changes; each candidate is
trained and tested with its range by `mim train` and `mim test --tta`. What has a result is not run again, so the search
can be interrupted. OUT has range_search.md, .csv and .png.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn.experiments.arguments import add_arguments, from_root, resolve, spell_path
from mmisn.experiments.budget import BUDGETS
from mmisn.experiments.data import config_data, prepare_data
from mmisn.experiments.options import load_config
from mmisn.experiments.range_report import write_search
from mmisn.experiments.range_search import Range, check_candidates, default_candidates, greedy_range_search
from mmisn.experiments.run import find_missing, results_of, run_trials
from mmisn.experiments.tables import ROOT, Entry
from mmisn.experiments.trials import Trial, make_trial

RANGE_KEYS = ('train_dataloader.dataset.generator.scale_range', 'tta_model.scale_range')


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', type=Path, help='ISN config; its range is what is searched')
    add_arguments(
        parser, 'work_dirs/search', 'scenes (default), coco, a folder in COCO format, or config: what the config names'
    )
    parser.add_argument(
        '--lowers', nargs='+', type=float, help="lower bounds, view px; by default 0, 1 and 2 x config's"
    )
    parser.add_argument(
        '--uppers', nargs='+', type=float, help="upper bounds, view px; by default 8/7, 1, 31/35, 4/7 x config's"
    )
    parser.add_argument('--metric', default='bbox_mAP', help='what is to be high (default: %(default)s)')
    args = parser.parse_args(argv)
    resolve(args, parser)
    args.config = str(from_root(args.config))
    return args


def main(argv: list[str] | None = None) -> int:
    """Search, then write table and picture; the exit status."""
    args = parse_args(argv)
    console = Console(soft_wrap=True)
    os.chdir(ROOT)
    init_default_scope('mmdet')
    # What the plans of chips say is said again by the trainings.
    MMLogger.get_instance('search_range', log_level='ERROR')
    try:
        return search(args, console)
    except ValueError as error:
        print(f'search_range.py: error: {error}', file=sys.stderr)
        return 2


def search(args: argparse.Namespace, console: Console) -> int:
    """Run the search."""
    if not os.path.isfile(args.config):
        raise ValueError(f'no config file {args.config!r}')
    budget = BUDGETS[args.budget]
    lowers, uppers = default_candidates(config_range(args.config))
    lowers, uppers = check_candidates(args.lowers or lowers, args.uppers or uppers)
    if args.data == 'config':
        data = config_data(args.config)
    else:
        data = prepare_data(args.data, budget, args.out, args.jobs or os.cpu_count() or 1)

    def evaluate(ranges: Sequence[Range]) -> list[float]:
        entries = [entry_of(args.config, scale_range) for scale_range in ranges]
        trials = [[make_trial(entry, data, budget, seed, args.out) for seed in args.seeds] for entry in entries]
        wanted = [trial for of_range in trials for trial in of_range]
        missing = find_missing(wanted, args.results, console)
        failed = run_trials(missing, data, args.results, args.jobs, console) if missing else []
        if failed:
            raise ValueError(f'{"; ".join(failed)} failed; start again to go on')
        scores = [score_of(of_range, args.results, args.metric) for of_range in trials]
        for (lower, upper), score in zip(ranges, scores):
            console.print(f'[{lower:g}, {upper:g}]: {args.metric} {100 * score:.1f}', markup=False, highlight=False)
        return scores

    result = greedy_range_search(evaluate, lowers, uppers)
    notes = [f'`{command_of(args, lowers, uppers)}`']
    if budget.name == 'smoke':
        notes.insert(0, 'Budget smoke: nothing is trained; the numbers say only that the search runs.')
    page = write_search(result, args.metric, args.out / 'range_search', notes)
    console.print(f'\n{page}', markup=False, highlight=False)
    console.print(f'{args.out}/range_search.md, .csv, .png', highlight=False)
    return 0


def config_range(config: str) -> Range:
    """The range that a config trains with.

    Raises:
        ValueError: If it has none, or one per level, or tests without ``ScaleRangeTTAModel``.
    """
    cfg = load_config(config)
    generator = (cfg.get('train_dataloader') or {}).get('dataset', {}).get('generator', {})
    found = generator.get('scale_range')
    if not (isinstance(found, (list, tuple)) and len(found) == 2 and all(isinstance(b, (int, float)) for b in found)):
        raise ValueError(f'{config}: {RANGE_KEYS[0]} must be one range (lower, upper) to be searched, got {found!r}')
    if (cfg.get('tta_model') or {}).get('type') != 'ScaleRangeTTAModel':
        raise ValueError(f'{config}: {RANGE_KEYS[1]} is searched too, but tta_model is no ScaleRangeTTAModel')
    return float(found[0]), float(found[1])


def entry_of(config: str, scale_range: Range) -> Entry:
    """How a range is trained and tested."""
    bounds = [int(b) if b == int(b) else b for b in scale_range]
    return Entry(config, dict.fromkeys(RANGE_KEYS, bounds), config, {}, tta=True)


def score_of(trials: Sequence[Trial], results: Path, metric: str) -> float:
    """Mean of a metric over the seeds.

    Raises:
        ValueError: If the tests do not measure it.
    """
    metrics = [result['metrics'] for result in results_of(trials, results)]
    key = f'coco/{metric.removeprefix("coco/")}'
    if any(key not in m for m in metrics):
        raise ValueError(f'--metric {metric} is not measured; there are {", ".join(sorted(metrics[0]))}')
    return float(np.mean([m[key] for m in metrics]))


def command_of(args: argparse.Namespace, lowers: Sequence[float], uppers: Sequence[float]) -> str:
    """The command that makes the table."""
    bounds = f'--lowers {" ".join(f"{b:g}" for b in lowers)} --uppers {" ".join(f"{b:g}" for b in uppers)}'
    seeds = ' '.join(map(str, args.seeds))
    return (
        f'python tools/search_range.py {spell_path(args.config)} --data {spell_path(args.data)} '
        f'--budget {args.budget} --seeds {seeds} {bounds} --metric {args.metric}'
    )


if __name__ == '__main__':
    sys.exit(main())
