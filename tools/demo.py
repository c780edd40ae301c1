"""Train and test ISN beside its baselines on synthetic scenes, on a CPU, and set the results side by side.

    make demo                                   # the short version: one seed, single-scale against ISN
    python tools/demo.py --preset table --methods single-scale multi-scale isn --seeds 0 1 2

Every training and test is an ordinary `mim train` or `mim test` command, which is printed before it runs. A method and
seed whose result is there already is not run again; an interrupted training is resumed. The methods are the rows of
ResNet-18-FPN in configs/tables/table6.yml: tools/ablate.py runs those of all tables.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmengine.logging import MMLogger
from mmengine.registry import init_default_scope
from rich.console import Console

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn.experiments.budget import BUDGETS
from mmisn.experiments.data import Data, scenes_data
from mmisn.experiments.jobs import check_programs, cpu_slots, run_jobs
from mmisn.experiments.options import option_args
from mmisn.experiments.results import make_jobs, read_results
from mmisn.experiments.tables import ROOT, Entry, find_table
from mmisn.experiments.trials import Trial, make_trial
from mmisn.visualization.comparison import draw_comparison, plot_octaves, write_table

# What Table 6 calls the methods.
METHODS = {'single-scale': 'Baseline', 'multi-scale': '+MST', 'isn': '+ISN'}
BACKBONE = 'ResNet-18-FPN'


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    """Command line arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--preset', choices=BUDGETS, default='demo', help='how much is trained')
    parser.add_argument('--methods', nargs='+', choices=METHODS, default=['single-scale', 'isn'])
    parser.add_argument('--seeds', nargs='+', type=int, default=[0])
    parser.add_argument('--out', type=Path, default=ROOT / 'work_dirs' / 'demo')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='runs at a time, one thread each')
    return parser.parse_args(argv)


def entries(methods: Sequence[str]) -> dict[str, Entry]:
    """How each method is trained and tested."""
    rows = {row.name: row for row in find_table('table6').choose([BACKBONE])}
    return {method: rows[METHODS[method]].entries['scenes'] for method in methods}


def main(argv: list[str] | None = None) -> int:
    """Run what has no result yet, then write the table and the pictures; the exit status."""
    args = parse_args(argv)
    console = Console(soft_wrap=True)
    # Commands are run, printed and kept relative to the repository.
    out = args.out.resolve()
    out = out.relative_to(ROOT) if out.is_relative_to(ROOT) else out
    os.chdir(ROOT)
    init_default_scope('mmdet')
    MMLogger.get_instance('demo', log_level='ERROR')
    budget = BUDGETS[args.preset]
    try:
        check_programs(['mim'])
        # The scenes' own seed is fixed; the methods' seeds change weights, order and flips only.
        data = scenes_data(budget, out / 'scenes', args.jobs)
        trials = {
            (method, seed): make_trial(entry, data, budget, seed, out)
            for seed in args.seeds
            for method, entry in entries(args.methods).items()
        }
        failed = run_missing(list(trials.values()), data, out / 'results', args.jobs, console)
        if failed:
            return 1
        write_comparison(trials, read_results(out / 'results'), data, out, console)
    except ValueError as error:
        print(f'demo.py: error: {error}', file=sys.stderr)
        return 2
    return 0


def run_missing(trials: list[Trial], data: Data, results: Path, jobs: int, console: Console) -> list[str]:
    """Run the trials that have no result; names of those that failed."""
    found = read_results(results)
    missing = [trial for trial in trials if trial.key not in found]
    return run_jobs(make_jobs(missing, data, results, gpus=0), cpu_slots(jobs), console, ROOT)


def write_comparison(
    trials: Mapping[tuple[str, int], Trial], found: Mapping[str, dict], data: Data, out: Path, console: Console
) -> None:
    """Write the table and the pictures, print the table."""
    results = [dict(found[trial.key], method=method) for (method, _), trial in trials.items()]
    text = write_table(results, out / 'table')
    plot_octaves(results, out / 'octaves.png')
    first = next(iter(trials))[1]
    chosen = {method: trial.predictions for (method, seed), trial in trials.items() if seed == first}
    draw_comparison(data.ann_files['val'], data.image_folders['val'], chosen, out / 'detections.png')
    browse_chips([trial for (method, _), trial in trials.items() if method == 'isn'], data, out)
    console.print(f'\n{text}\n', markup=False, highlight=False)
    console.print(f'Table and pictures: {out}/table.md, octaves.png, detections.png, chips/')


def browse_chips(trials: Sequence[Trial], data: Data, out: Path) -> None:
    """Draw the training chips of a few scenes, where there is a training on chips."""
    if not trials:
        return
    training = trials[0].training
    command = [sys.executable, 'tools/browse_chips.py', training.config, '--out', str(out / 'chips'), '--images', '3']
    options = {k: v for k, v in data.options(training.cfg).items() if k.startswith('train_dataloader.')}
    subprocess.run([*command, *option_args(options)], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


if __name__ == '__main__':
    sys.exit(main())
