"""From a row, data, a budget and a seed to the very commands: trials.

A trial is a training and a test. Trials with the same training (Table 7 tests each model twice) share it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmengine.config import Config

from .budget import Budget, budget_options
from .data import Data
from .keys import key_of_test, key_of_training
from .kinds import PICTURE_KINDS
from .options import apply_options, load_config, option_args
from .table_rows import Entry, Row, Source

# Ends of the names of configs that say what data they are for.
DATA_SUFFIXES = ('_scenes', '_coco', '_scenes-person', '_coco-person', '_mnist', '_cifar10')
# Epochs of the network whose proposals negative chips are made of.
NEGATIVES_EPOCHS = 2


@dataclass(frozen=True)
class Training:
    """A training.

    Attributes:
        name: What a progress bar calls it.
        config: Config file.
        options: Overrides: the row's, the data's, the seed and the budget's.
        epochs: Number of epochs.
        folder: Work folder.
        key: Of everything that it follows from.
        negatives: Whether it trains on negative chips.
        cfg: The config with all overrides.
        start: The training whose checkpoint it continues from; ``None`` for none.
    """

    name: str
    config: str
    options: dict[str, Any] = field(repr=False)
    epochs: int
    folder: Path
    key: str
    negatives: bool
    cfg: Config = field(repr=False, compare=False)
    start: 'Training | None' = None

    @property
    def chain(self) -> 'tuple[Training, ...]':
        """It and what it continues from, in the order in which they are trained."""
        return (*(() if self.start is None else self.start.chain), self)

    @property
    def proposals(self) -> Path:
        """File of the proposals that its negative chips are made of."""
        return self.folder / 'proposals.npz'

    @property
    def checkpoint(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.folder / f'epoch_{self.epochs}.pth'

    def command(self, gpus: int, resume: bool = False) -> list[str]:
        """``mim train``.

        Args:
            gpus: GPUs, 0 or 1.
            resume: Whether to go on from the last checkpoint.
        """
        options = dict(self.options)
        if self.negatives:
            options['train_dataloader.dataset.negatives.proposals'] = str(self.proposals)
        if self.start is not None:
            options['load_from'] = str(self.start.checkpoint)
        command = ['mim', 'train', 'mmdet', self.config, '--work-dir', str(self.folder), '--gpus', str(gpus)]
        return [*command, *(['--resume'] if resume else []), *option_args(options)]

    def mine_command(self) -> list[str]:
        """``tools/mine_negative_chips.py``, with the options of the training that comes after it."""
        command = ['python', 'tools/mine_negative_chips.py', self.config, '--out', str(self.proposals)]
        command += ['--epochs', str(NEGATIVES_EPOCHS), '--work-dir', str(self.folder / 'proposal_net')]
        return [*command, *option_args(self.options)]


@dataclass(frozen=True)
class Trial:
    """A training and one test of it.

    Attributes:
        name: Of its result file; it does not depend on the table.
        training: The training.
        entry: The row's entry.
        data: Name of the data.
        budget: The budget.
        seed: The seed.
        test_config: Config file of the test.
        test_options: All overrides of it.
        folder: Work folder of the test.
        key: Of everything that the result follows from.
        cfg: The test's config with all overrides.
        weights: Other trainings whose checkpoints the test needs, by the option that takes each.
        kind: Kind of data.
    """

    name: str
    training: Training
    entry: Entry
    data: str
    budget: Budget
    seed: int
    test_config: str
    test_options: dict[str, Any] = field(repr=False)
    folder: Path
    key: str
    cfg: Config = field(repr=False, compare=False)
    weights: Mapping[str, Training] = field(default_factory=dict)
    kind: str = 'coco'

    @property
    def trainings(self) -> tuple[Training, ...]:
        """All trainings that must be over before the test."""
        return tuple(t for last in (self.training, *self.weights.values()) for t in last.chain)

    @property
    def predictions(self) -> Path:
        """COCO json of the detections."""
        return self.folder / 'predictions.bbox.json'

    def command(self, gpus: int) -> list[str]:
        """``mim test``."""
        command = ['mim', 'test', 'mmdet', self.test_config, '--checkpoint', str(self.training.checkpoint)]
        command += ['--gpus', str(gpus), '--work-dir', str(self.folder), *(['--tta'] if self.entry.tta else [])]
        options = {**self.test_options, **{key: str(of.checkpoint) for key, of in self.weights.items()}}
        if self.kind not in PICTURE_KINDS:
            options['test_evaluator.outfile_prefix'] = str(self.folder / 'predictions')
        return [*command, *option_args(options)]


def make_trial(entry: Entry, data: Data, budget: Budget, seed: int, out: Path, negatives: bool = False) -> Trial:
    """Resolve a trial.

    Args:
        entry: Configs and options.
        data: What it is run on.
        budget: How much is trained.
        seed: Seed of weights, order, chips and flips.
        out: Work folders are made below it.
        negatives: Whether it trains on negative chips.

    Raises:
        ValueError: If an option is unknown, or the config is one that the budget has no rule for.
    """

    def train(source: Source) -> Training:
        return make_training(source.config, {}, data, budget, seed, out, share=source.share)

    start = None if entry.start is None else train(entry.start)
    training = make_training(entry.config, entry.options, data, budget, seed, out, negatives, entry.share, start)
    weights = {key: train(source) for key, source in sorted(entry.weights.items())}
    return _test_of(training, weights, entry, data, budget, seed)


def make_training(
    config: str,
    row_options: Mapping[str, Any],
    data: Data,
    budget: Budget,
    seed: int,
    out: Path,
    negatives: bool = False,
    share: float = 1.0,
    start: Training | None = None,
) -> Training:
    """Resolve a training.

    Args:
        config: Config file.
        row_options: The row's overrides of it.
        data: What it is run on.
        budget: How much is trained.
        seed: Seed of weights, order, chips and flips.
        out: Work folders are made below it.
        negatives: Whether it trains on negative chips.
        share: Part of the budget of the scenes that it has.
        start: The training whose checkpoint it continues from, whatever the config's ``load_from``.

    Raises:
        ValueError: If an option is unknown, or the config is one that the budget has no rule for.
    """
    file = data.config_file(config)
    cfg = load_config(file)
    options: dict[str, Any] = {}
    for changes in ({'randomness.seed': seed}, data.options(cfg), row_options):
        apply_options(cfg, changes, config)
        options.update(changes)
    check_negatives(cfg, negatives, config)
    changes = budget_options(cfg, budget, data.kind, share)
    cfg.merge_from_dict(changes)
    options.update(changes)
    if start is not None:
        # Where a checkpoint is says nothing of what is in it: the key of its training does.
        cfg.load_from = start.key
    key = key_of_training(cfg, NEGATIVES_EPOCHS if negatives else None, data.digest)
    name = f'{_short(config)}{", negatives" if negatives else ""}, seed {seed}'
    folder = out / 'runs' / f'{_stem(config, data, budget)}_seed{seed}_{key[:8]}'
    return Training(name, file, options, cfg.train_cfg.max_epochs, folder, key, negatives, cfg, start)


def check_negatives(cfg: Config, negatives: bool, where: str) -> None:
    """Check that a training has the proposals that it needs.

    Raises:
        ValueError: If negative chips are wanted of a config without chips, or not mined for a config that needs them.
    """
    dataset = cfg.train_dataloader.dataset
    if negatives and dataset.type != 'ChipDataset':
        raise ValueError(f'{where}: negatives is true, but it trains on {dataset.type}, which has no chips')
    if not negatives and dataset.get('negatives') and not dataset.negatives.get('proposals'):
        raise ValueError(f'{where}: it trains on negative chips; the row must say negatives: true')


def _test_of(
    training: Training, weights: Mapping[str, Training], entry: Entry, data: Data, budget: Budget, seed: int
) -> Trial:
    if entry.test_config == entry.config:
        config, cfg, options = training.config, load_config(training.config), dict(training.options)
        cfg.merge_from_dict(options)
    else:
        config = data.config_file(entry.test_config)
        cfg = load_config(config)
        options = {'randomness.seed': seed, **data.options(cfg)}
        apply_options(cfg, options, entry.test_config)
    apply_options(cfg, entry.test_options, entry.test_config)
    options.update(entry.test_options)
    apply_options(cfg, {key: of.key for key, of in weights.items()}, entry.test_config)
    if entry.tta and 'tta_model' not in cfg:
        raise ValueError(f'{entry.test_config}: tested with tta, but it has no tta_model')
    key = key_of_test(cfg, entry.tta, training.key)
    name = f'{_stem(entry.config, data, budget)}_seed{seed}_{key[:8]}'
    folder = training.folder / f'test_{key[:8]}'
    return Trial(name, training, entry, data.name, budget, seed, config, options, folder, key, cfg, weights, data.kind)


def _stem(config: str, data: Data, budget: Budget) -> str:
    return f'{data.name}-{budget.name}_{_short(config)}'


def _short(config: str) -> str:
    """A config's name without the data's, which stands before it."""
    name = Path(config).stem
    return name.rpartition('_')[0] if name.endswith(DATA_SUFFIXES) else name


def row_trials(row: Row, data: Data, budget: Budget, seeds: Sequence[int], out: Path) -> list[Trial]:
    """The trials of a row, one per seed; none where there is nothing to run.

    Raises:
        ValueError: As ``make_trial``; the message begins with the row.
    """
    entry = row.entries.get(data.kind)
    if not runs(row, data.kind, budget):
        return []
    try:
        return [make_trial(entry, data, budget, seed, out, row.negatives) for seed in seeds]
    except ValueError as error:
        raise ValueError(f'row {row.label}: {error}') from error


def runs(row: Row, kind: str, budget: Budget) -> bool:
    """Whether a budget runs a row on a kind of data."""
    entry = row.entries.get(kind)
    return entry is not None and (budget.name == 'smoke' or not entry.smoke_only)
