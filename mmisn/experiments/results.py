"""Results of trials: small JSON files, found again by their key, and the jobs that make those that are missing."""

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmisn import __version__

from .data import Data
from .jobs import Job, Step
from .keys import file_digest
from .pixels import pixels_of_test, training_cost
from .trials import Training, Trial

# What every result has; ``seconds`` and ``pixels`` may lack entries.
RESULT_KEYS = (
    *('data', 'budget', 'seed', 'config', 'options', 'negatives', 'test', 'epochs', 'images'),
    *('annotations', 'train_key', 'test_key', 'commands', 'seconds', 'pixels', 'metrics'),
)
# Parts of a job's bar.
SHARES = dict(mine=15.0, train=85.0, test=15.0)


def read_results(folder: Path) -> dict[str, dict[str, Any]]:
    """All results of a folder by ``test_key``.

    Raises:
        ValueError: If a file is no result, or two have the same key.
    """
    found: dict[str, dict[str, Any]] = {}
    for path in sorted(folder.glob('*.json')):
        try:
            result = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise ValueError(f'{path}: no valid JSON: {error}') from error
        missing = [k for k in RESULT_KEYS if not isinstance(result, dict) or k not in result]
        if missing:
            raise ValueError(f'{path}: no result of a trial, it lacks {", ".join(missing)}')
        if result['test_key'] in found:
            raise ValueError(f'{path}: another file of {folder} has the same test_key {result["test_key"]}')
        found[result['test_key']] = result
    return found


def write_result(path: Path, result: dict[str, Any]) -> None:
    """Write a result so that nobody ever sees a half-written file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f'{path.name}.partial')
    partial.write_text(json.dumps(result, indent=2) + '\n')
    partial.replace(path)


def make_result(trial: Trial, data: Data, metrics: dict[str, float], seconds: dict[str, float], gpus: int) -> dict:
    """What is kept of a trial.

    Args:
        trial: The trial.
        data: What it was run on.
        metrics: COCO metrics, in [0, 1].
        seconds: Of ``mine``, ``train`` and ``test``, as far as known, and ``test_per_image``.
        gpus: GPUs that the commands were run with.
    """
    training, entry = trial.training, trial.entry
    cost = training_cost(training.cfg)
    test_per_image = pixels_of_test(trial.cfg, data.ann_files['val'], entry.tta)
    commands = dict(mine=training.mine_command()) if training.negatives else {}
    commands.update(train=training.command(gpus), test=trial.command(gpus))
    return dict(
        data=trial.data,
        budget=asdict(trial.budget) if data.kind == 'scenes' else dict(name=trial.budget.name),
        seed=trial.seed,
        config=entry.config,
        options=entry.options,
        negatives=training.negatives,
        test=dict(config=entry.test_config, options=entry.test_options, tta=entry.tta),
        epochs=training.epochs,
        images=dict(train=cost.images, val=data.num_images('val')),
        annotations={split: file_digest(str(path)) for split, path in data.ann_files.items()},
        train_key=training.key,
        test_key=trial.key,
        version=__version__,
        commands={step: shlex.join(command) for step, command in commands.items()},
        seconds={step: round(value, 4) for step, value in seconds.items()},
        pixels=dict(
            train_per_image_epoch=round(cost.pixels.padded),
            train=round(cost.pixels.padded * cost.images * training.epochs),
            test_per_image=round(test_per_image),
        ),
        metrics=metrics,
    )


def of_other_settings(trial: Trial, results: Sequence[dict[str, Any]]) -> bool:
    """Whether there is a result of the same row, seed and budget, but of a config that has changed since."""
    entry = trial.entry
    test = dict(config=entry.test_config, options=entry.test_options, tta=entry.tta)
    wanted = json.loads(json.dumps([trial.data, trial.budget.name, trial.seed, entry.config, entry.options, test]))
    return any(
        [r['data'], r['budget']['name'], r['seed'], r['config'], r['options'], r['test']] == wanted
        and r['negatives'] == trial.training.negatives
        for r in results
    )


def make_jobs(trials: Sequence[Trial], data: Data, results: Path, gpus: int) -> list[Job]:
    """One job per training that some of the trials need, in the order of the trials.

    What a job has done before is not done again: proposals that are there, a training that is complete. One that was
    interrupted is resumed from its last checkpoint.
    """
    by_training: dict[str, list[Trial]] = {}
    for trial in trials:
        by_training.setdefault(trial.training.key, []).append(trial)
    return [_job(list({t.key: t for t in of}.values()), data, results, gpus) for of in by_training.values()]


def _job(trials: list[Trial], data: Data, results: Path, gpus: int) -> Job:
    training = trials[0].training
    steps = [] if is_trained(training) else _training_steps(training, gpus)
    return Job(training.name, [*steps, *(_test_step(trial, data, results, gpus) for trial in trials)])


def _training_steps(training: Training, gpus: int) -> list[Step]:
    steps = []
    if training.negatives and not training.proposals.is_file():
        steps.append(_step(training, 'mine', training.mine_command(), lambda text: (0.0, 'mining negative chips')))
    command = training.command(gpus, resume=last_checkpoint(training.folder) is not None)
    return [*steps, _step(training, 'train', command, lambda text: progress_of_training(text, training.epochs))]


def _step(training: Training, name: str, command: list[str], progress: Callable[[str], tuple[float, str]]) -> Step:
    return Step(
        name,
        command,
        training.folder / f'{name}.log',
        SHARES[name],
        progress,
        ended=lambda seconds: _spend(training.folder, name, seconds),
    )


def _test_step(trial: Trial, data: Data, results: Path, gpus: int) -> Step:
    spent: dict[str, float] = {}

    def keep() -> None:
        metrics = read_metrics(trial.folder)
        seconds = {**_spent(trial.training.folder), **spent}
        if 'time' in metrics:
            seconds['test_per_image'] = metrics.pop('time') / trial.cfg.test_dataloader.batch_size
        result = make_result(trial, data, {k: v for k, v in metrics.items() if k.startswith('coco/')}, seconds, gpus)
        write_result(results / f'{trial.name}.json', result)

    return Step(
        'test',
        trial.command(gpus),
        trial.folder / 'test.log',
        SHARES['test'],
        progress_of_test,
        ended=lambda seconds: spent.update(test=seconds),
        after=keep,
    )


def last_checkpoint(folder: Path) -> Path | None:
    """The checkpoint that a training can go on from, if there is one.

    MMEngine removes the old checkpoint before it writes the new one: after an interruption there the file named may be
    gone, and only a training from the start is left.
    """
    record = folder / 'last_checkpoint'
    path = folder / Path(record.read_text().strip()).name if record.is_file() else None
    return path if path is not None and path.is_file() else None


def is_trained(training: Training) -> bool:
    """Whether the training is complete; a checkpoint is recorded only when it is written."""
    return last_checkpoint(training.folder) == training.checkpoint


def _spent(folder: Path) -> dict[str, float]:
    path = folder / 'seconds.json'
    return json.loads(path.read_text()) if path.is_file() else {}


def _spend(folder: Path, step: str, seconds: float) -> None:
    """Add to the seconds of a step: a training that was interrupted has several parts."""
    before = _spent(folder)
    write_result(folder / 'seconds.json', {**before, step: before.get(step, 0.0) + seconds})


def read_metrics(folder: Path) -> dict[str, float]:
    """The metrics of the newest test in a work folder, as MMEngine logs them.

    Raises:
        ValueError: If there are none.
    """
    logs = [p for p in folder.glob('*/*.json') if p.stem == p.parent.name]
    if not logs:
        raise ValueError(f'{folder}: the test has left no metrics')
    newest = max(logs, key=lambda p: p.stat().st_mtime)
    return json.loads(newest.read_text().splitlines()[-1])


def progress_of_training(text: str, epochs: int) -> tuple[float, str]:
    """How far a training is, from the end of its log."""
    found = re.findall(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*?loss: ([\w.]+)', text)
    if not found:
        return 0.0, 'training'
    epoch, iteration, iterations, loss = found[-1]
    return (int(epoch) - 1 + int(iteration) / int(iterations)) / epochs, f'epoch {epoch}/{epochs}, loss {loss}'


def progress_of_test(text: str) -> tuple[float, str]:
    """How far a test is, from the end of its log."""
    found = re.findall(r'Epoch\(test\)\s+\[\s*(\d+)/(\d+)\]', text)
    return (int(found[-1][0]) / int(found[-1][1]) if found else 0.0), 'testing'
