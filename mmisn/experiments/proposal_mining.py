"""Train the proposal network, write its proposals and count the negative chips that follow from them."""

import re
from functools import partial
from pathlib import Path

from mmdet.registry import DATASETS
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from rich.console import Console

from mmisn.chips import PROPOSAL_COUNTS, level_name
from mmisn.datasets import ChipDataset, chip_dataset_cfg

from .jobs import Job, Step, cpu_slots, run_jobs
from .proposal_net import proposal_net_config

CONFIG_NAME = 'proposal_net.py'


def mine_proposals(
    cfg: Config,
    out: Path,
    work_dir: Path,
    epochs: int = 2,
    max_per_level: int = 300,
    gpus: int = 0,
    console: Console | None = None,
) -> None:
    """Train the proposal network of a config and write its proposals, both by ``mim``.

    What is finished is not done again, an interrupted training is resumed.

    Args:
        cfg: Config of the detector, see ``proposal_net_config``.
        out: The proposals file.
        work_dir: Folder of the training, of one config only.
        epochs: Epochs of training.
        max_per_level: Proposals per image and level.
        gpus: Number of GPUs; 0 for the CPU.
        console: Where progress is shown.

    Raises:
        ValueError: If the config does not fit, or the folder holds another training.
        RuntimeError: If a command fails.
    """
    console = console or Console()
    out, work_dir = out.resolve(), work_dir.resolve()
    if out.suffix != '.npz' or ',' in str(out):
        raise ValueError(f'the proposals file must end in .npz and have no comma in its path, got {out}')
    config = _write_config(proposal_net_config(cfg, epochs, max_per_level), work_dir)
    steps = _steps(config, out, work_dir, epochs, gpus)
    if not steps:
        console.print(f'{out} is there already; delete it to have it written anew', soft_wrap=True)
    elif run_jobs([Job('proposal network', steps)], cpu_slots(1) if gpus == 0 else [{}], console, Path.cwd()):
        raise RuntimeError('the proposal network failed, see above')


def _steps(config: Path, out: Path, work_dir: Path, epochs: int, gpus: int) -> list[Step]:
    """What is left to do."""
    # A folder of its own: mmengine writes the config that it resolved there, under the name of the file.
    trained, steps = work_dir / 'train', []
    checkpoint = trained / f'epoch_{epochs}.pth'
    where = ['--gpus', str(gpus), *(['--launcher', 'pytorch'] if gpus > 1 else [])]
    if not checkpoint.is_file():
        resume = ['--resume'] if (trained / 'last_checkpoint').is_file() else []
        command = ['mim', 'train', 'mmdet', str(config), '--work-dir', str(trained), *where, *resume]
        progress = partial(training_progress, epochs=epochs)
        steps.append(Step('training', command, work_dir / 'train.log', 0.5, progress))
    if steps or not out.is_file() or out.stat().st_mtime < checkpoint.stat().st_mtime:
        command = ['mim', 'test', 'mmdet', str(config), '--checkpoint', str(checkpoint), '--tta', *where]
        command += ['--work-dir', str(work_dir / 'test'), '--cfg-options', f'test_evaluator.out_file={out}']
        steps.append(Step('proposals', command, work_dir / 'test.log', 0.5, testing_progress))
    return steps


def _write_config(config: Config, work_dir: Path) -> Path:
    path, text = work_dir / CONFIG_NAME, config.pretty_text
    if path.is_file() and path.read_text() != text:
        raise ValueError(
            f'{work_dir} holds the training of another proposal network: its {CONFIG_NAME} differs from what the '
            'config and options say now. Give another --work-dir, or delete this one'
        )
    work_dir.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def training_progress(log: str, epochs: int) -> tuple[float, str]:
    """The share of a training that is done and a few words on it, from the end of its log."""
    # What mmengine writes: Epoch(train)  [1][ 20/100] lr: ... eta: 0:01:00 ... loss: 0.7
    found = re.findall(r'Epoch\(train\) +\[ *(\d+)\]\[ *(\d+)/ *(\d+)\].*?eta: ([^ ]+)', log)
    if not found:
        return 0.0, 'starting'
    epoch, iteration, iterations, eta = found[-1]
    share = (int(epoch) - 1 + int(iteration) / int(iterations)) / epochs
    return share, f'epoch {epoch} of {epochs}, {eta} left'


def testing_progress(log: str) -> tuple[float, str]:
    """The share of a test that is done and a few words on it, from the end of its log."""
    found = re.findall(r'Epoch\(test\) *\[ *(\d+)/ *(\d+)\]', log)
    if not found:
        return 0.0, 'starting'
    image, images = map(int, found[-1])
    return image / images, f'image {image} of {images}'


def count_negatives(cfg: Config, proposals: Path) -> tuple[list[str], list[list], ChipDataset]:
    """Plan the negative chips that a config would train on with a proposals file.

    Args:
        cfg: Config of the detector; its own options of negative chips, if it has any, apply.
        proposals: The proposals file.

    Returns:
        Header and rows of a table with one row per level, and the dataset.
    """
    init_default_scope(cfg.get('default_scope', 'mmdet'))
    chips = ConfigDict(chip_dataset_cfg(cfg))
    chips.negatives = dict(chips.get('negatives') or {}, proposals=str(proposals))
    dataset = DATASETS.build(chips)
    dataset.full_init()
    plan = dataset.plan
    rows = []
    for level, counts in enumerate(plan.proposals.tolist()):
        of_level = plan.level == level
        positive, negative = (of_level & ~plan.negative).sum(), (of_level & plan.negative).sum()
        name = level_name(dataset.generator.levels[level])
        rows.append([name, int(positive), *counts, dataset.negatives.min_proposals[level], int(negative)])
    header = ['level', 'positive chips', *(f'proposals {what}' for what in PROPOSAL_COUNTS)]
    return [*header, 'fewest for a chip', 'negative chips'], rows, dataset
