"""Results of trials: small JSON files, found again by their key, and the jobs that make those that are missing."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmisn import __version__

from .arguments import spell_command
from .columns import COST_PREFIX, view_mpix
from .data import Data
from .jobs import Job, Step
from .keys import file_digest
from .kinds import PICTURE_KINDS, metric_prefix
from .picture_data import pixels_of_pictures
from .pixels import pixels_of_test, training_cost
from .table_rows import Entry
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
        metrics: As MMEngine logs them; COCO's and accuracies are in [0, 1].
        seconds: Of ``mine``, ``train`` and ``test``, as far as known, and ``test_per_image``.
        gpus: GPUs that the commands were run with.
    """
    training, entry = trial.training, trial.entry
    return dict(
        data=trial.data,
        budget=asdict(trial.budget) if data.kind == 'scenes' else dict(name=trial.budget.name),
        seed=trial.seed,
        config=entry.config,
        options=entry.options,
        negatives=training.negatives,
        **_start_entry(entry),
        test=_test_entry(trial),
        epochs=training.epochs,
        images=dict(train=_train_images(trial, data), val=data.num_images('val')),
        annotations=_digests(data),
        train_key=training.key,
        test_key=trial.key,
        **_other_trainings(trial),
        version=__version__,
        commands={step: spell_command(command, data.root) for step, command in _commands(trial, gpus).items()},
        seconds={step: round(value, 4) for step, value in seconds.items()},
        pixels=_pixels(trial, data, metrics),
        metrics=metrics,
    )


def _commands(trial: Trial, gpus: int) -> dict[str, list[str]]:
    training = trial.training
    commands = dict(mine=training.mine_command()) if training.negatives else {}
    if training.start is not None:
        commands.update({'train to start from': training.start.command(gpus)})
    commands.update(train=training.command(gpus))
    commands.update({f'train for {key}': of.command(gpus) for key, of in trial.weights.items()})
    return {**commands, 'test': trial.command(gpus)}


def _other_trainings(trial: Trial) -> dict[str, Any]:
    others = [t for t in trial.trainings if t is not trial.training]
    return dict(others=[dict(config=t.config, epochs=t.epochs, train_key=t.key) for t in others]) if others else {}


def _test_entry(trial: Trial) -> dict[str, Any]:
    entry = trial.entry
    test = dict(config=entry.test_config, options=entry.test_options, tta=entry.tta)
    # Most tests need no other checkpoints; their results say nothing of them.
    return {**test, 'weights': {k: of.spelled for k, of in entry.weights.items()}} if entry.weights else test


def _start_entry(entry: Entry) -> dict[str, Any]:
    """What the training continues from, and its part of the budget; empty for a whole one from the config's weights."""
    start = {} if entry.start is None else dict(start=entry.start.spelled)
    return {**start, **({} if entry.share == 1 else dict(share=entry.share))}


def _digests(data: Data) -> dict[str, str]:
    if data.kind in PICTURE_KINDS:
        return data.digests
    return {split: file_digest(str(path)) for split, path in data.ann_files.items()}


def _train_images(trial: Trial, data: Data) -> int:
    # On detection data, those that the training's filters leave.
    return data.num_images('train') if data.kind in PICTURE_KINDS else training_cost(trial.training.cfg).images


def _pixels(trial: Trial, data: Data, metrics: dict[str, float]) -> dict[str, int]:
    if data.kind in PICTURE_KINDS:
        return pixels_of_pictures(trial, data, metrics)
    costs = [(training_cost(training.cfg), training.epochs) for training in trial.trainings]
    return dict(
        train_per_image_epoch=round(sum(cost.pixels.padded for cost, _ in costs)),
        train=round(sum(cost.pixels.padded * cost.images * epochs for cost, epochs in costs)),
        test_per_image=round(_test_pixels(trial, data, metrics)),
    )


def _test_pixels(trial: Trial, data: Data, metrics: dict[str, float]) -> float:
    # A detector that chooses its views has counted them.
    if f'{COST_PREFIX}mpix' in metrics:
        return 1e6 * view_mpix(metrics)
    return pixels_of_test(trial.cfg, data.ann_files['val'], trial.entry.tta)


def of_other_settings(trial: Trial, results: Sequence[dict[str, Any]]) -> bool:
    """Whether there is a result of the same row, seed and budget, but of a config that has changed since."""
    entry, start = trial.entry, _start_entry(trial.entry)
    content = [trial.data, trial.budget.name, trial.seed, entry.config, entry.options, _test_entry(trial), start]
    wanted = json.loads(json.dumps(content))
    return any(
        [r['data'], r['budget']['name'], r['seed'], r['config'], r['options'], r['test'], _start_of(r)] == wanted
        and r['negatives'] == trial.training.negatives
        for r in results
    )


def _start_of(result: dict[str, Any]) -> dict[str, Any]:
    return {key: result[key] for key in ('start', 'share') if key in result}


def make_jobs(trials: Sequence[Trial], data: Data, results: Path, gpus: int) -> list[Job]:
    """One job per training that some of the trials need, in the order of the trials.

    Trainings that a test needs together are one job. What a job has done before is not done again: proposals that are
    there, a training that is complete. One that was interrupted is resumed from its last checkpoint.
    """
    groups: list[dict[str, Trial]] = []
    for trial in trials:
        keys = {training.key for training in trial.trainings}
        joined = [g for g in groups if any(t.key in keys for other in g.values() for t in other.trainings)]
        # The first of the groups takes in the others, so that the order stays.
        for group in joined[1:]:
            joined[0].update(group)
            groups.remove(group)
        if not joined:
            groups.append({})
        (joined or groups[-1:])[0][trial.key] = trial
    return [_job(list(group.values()), data, results, gpus) for group in groups]


def _job(trials: list[Trial], data: Data, results: Path, gpus: int) -> Job:
    trainings = {training.key: training for trial in trials for training in trial.trainings}
    steps = [s for t in trainings.values() if not is_trained(t) for s in _training_steps(t, gpus)]
    return Job(trials[0].training.name, [*steps, *(_test_step(trial, data, results, gpus) for trial in trials)])


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
        seconds = {**_all_spent(trial), **spent}
        if 'time' in metrics:
            seconds['test_per_image'] = metrics.pop('time') / trial.cfg.test_dataloader.batch_size
        kept = {k: v for k, v in metrics.items() if k.startswith((f'{metric_prefix(trial.kind)}/', COST_PREFIX))}
        result = make_result(trial, data, kept, seconds, gpus)
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


def _all_spent(trial: Trial) -> dict[str, float]:
    """Seconds of the steps of all trainings that the trial needs."""
    total: dict[str, float] = {}
    for training in trial.trainings:
        for step, seconds in _spent(training.folder).items():
            total[step] = total.get(step, 0.0) + seconds
    return total


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
