"""Run the trials that have no result yet."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from rich.console import Console

from .data import Data
from .jobs import check_programs, cpu_slots, gpu_slots, run_jobs
from .results import make_jobs, of_other_settings, read_results
from .tables import ROOT
from .trials import Trial


def find_missing(trials: Sequence[Trial], results: Path, console: Console) -> list[Trial]:
    """The trials without a result; it is said where there is one of the same row, but of a config that has changed.

    Args:
        trials: The trials.
        results: Folder of the results.
        console: Where it is said.
    """
    found = read_results(results)
    missing = [trial for trial in trials if trial.key not in found]
    for trial in missing:
        if of_other_settings(trial, list(found.values())):
            console.print(f'{trial.name}: the result in {results} is of other settings, the config has changed')
    return missing


def run_trials(missing: Sequence[Trial], data: Data, results: Path, jobs: int | None, console: Console) -> list[str]:
    """Train and test, several trials at a time: one per GPU, or one per core where there is none.

    Args:
        missing: Trials without a result.
        data: What they are run on.
        results: Folder of the results.
        jobs: Trials at a time, at most.
        console: For commands and bars.

    Returns:
        Names of the jobs that failed.

    Raises:
        ValueError: If mim is not installed, or another run is busy with one of the trainings.
    """
    check_programs(['mim'])
    gpus = torch.cuda.device_count()
    slots = gpu_slots(gpus, os.environ.get('CUDA_VISIBLE_DEVICES'), jobs) if gpus else None
    slots = slots or cpu_slots(jobs or os.cpu_count() or 1)
    with _alone(training.folder for trial in missing for training in trial.trainings):
        return run_jobs(make_jobs(missing, data, results, min(gpus, 1)), slots, console, ROOT)


@contextmanager
def _alone(folders: Iterable[Path]) -> Iterator[None]:
    """Keep other runs out of folders of trainings: two in one folder would write over each other's checkpoints."""
    with ExitStack() as locks:
        for folder in sorted(set(folders)):
            folder.mkdir(parents=True, exist_ok=True)
            try:
                locks.enter_context(FileLock(folder / '.lock').acquire(timeout=0))
            except Timeout as error:
                raise ValueError(
                    f'another run is busy with {folder}; wait until it has ended, or run the other rows (--rows), or '
                    'elsewhere (--out)'
                ) from error
        yield


def results_of(trials: Sequence[Trial], results: Path) -> list[dict[str, Any]]:
    """The results that there are, in the order of the trials."""
    found = read_results(results)
    return [found[trial.key] for trial in trials if trial.key in found]
