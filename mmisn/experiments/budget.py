"""How much is trained: on scenes as many pixels for every row of a table, on COCO what the config says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from mmengine.config import Config

from .kinds import PICTURE_KINDS
from .pixels import Pixels, training_cost

# Pixels per image and epoch of single-scale training on the small scenes: the budget counts in these.
SCENES_PIXELS = 427 * 320
# Parts of the training after which the learning rate falls and the statistics of batch norm are fixed.
MILESTONE, NORM_EVAL = 0.75, 0.4
# A smoke run does not validate.
NEVER = 10_000
# Pixels per image and epoch of a smoke run on chips: one chip of 576 px.
SMOKE_CHIP_PIXELS = 576 * 576


@dataclass(frozen=True)
class Budget:
    """A budget.

    Attributes:
        name: ``smoke``, ``demo`` or ``table``.
        images: Training images on the scenes.
        val_images: Test images on the scenes.
        epochs: Epochs of single-scale training on the scenes. Every other way of training gets as many pixels.
    """

    name: str
    images: int
    val_images: int
    epochs: int

    @property
    def pixels_per_image(self) -> int:
        """Pixels per image of the whole training on the scenes, padding not counted."""
        return self.epochs * SCENES_PIXELS


BUDGETS = {b.name: b for b in (Budget('smoke', 8, 4, 2), Budget('demo', 400, 60, 8), Budget('table', 800, 200, 8))}
# Images of a smoke run on COCO or a folder of its format, and pictures.
SMOKE_IMAGES = dict(train=4, val=2)
SMOKE_PICTURES = dict(train=64, val=16)


def check_budget(budget: Budget, kind: str) -> None:
    """Check that a budget is one for a kind of data.

    Raises:
        ValueError: If it is not.
    """
    if kind != 'scenes' and budget.name == 'demo':
        raise ValueError(
            f'the budget demo is one for scenes; {kind} is run with smoke, or with table: as the config says'
        )


def epochs_for(budget: Budget, pixels: Pixels, share: float = 1.0) -> int:
    """Epochs of a way of training on the scenes.

    Args:
        budget: The budget.
        pixels: Of that way, per image and epoch.
        share: Part of the budget that it has.
    """
    return max(1, round(budget.pixels_per_image * share / pixels.plain))


def budget_options(cfg: Config, budget: Budget, kind: str, share: float = 1.0) -> dict[str, Any]:
    """Overrides of a config that make a training cost what the budget allows.

    Args:
        cfg: The config, on the data that it will train on.
        budget: The budget.
        kind: Kind of data.
        share: Part of the budget of the scenes that this training has.

    Raises:
        ValueError: If the pixels of the training, or its schedule, are of a form that is not known.
    """
    if kind == 'scenes':
        return schedule_options(cfg, epochs_for(budget, training_cost(cfg).pixels, share))
    if kind in PICTURE_KINDS:
        return schedule_options(cfg, 1) if budget.name == 'smoke' else {}
    # Rows run on one GPU each, the configs are written for eight.
    options: dict[str, Any] = {'auto_scale_lr.enable': True} if 'auto_scale_lr' in cfg else {}
    if budget.name == 'smoke':
        options.update(schedule_options(cfg, 1), **_smoke_options(cfg))
    return options


def schedule_options(cfg: Config, epochs: int) -> dict[str, Any]:
    """Overrides for a number of epochs: where training ends, the learning rate falls and statistics are fixed.

    Raises:
        ValueError: If there is a scheduler of which it is not known how to shorten it.
    """
    options: dict[str, Any] = {'train_cfg.max_epochs': epochs}
    for i, scheduler in enumerate(cfg.param_scheduler):
        # Those that end before the training does are warm-ups.
        if not scheduler.get('by_epoch', True) or scheduler.get('end') != cfg.train_cfg.max_epochs:
            continue
        if scheduler.type == 'MultiStepLR':
            options[f'param_scheduler.{i}.milestones'] = [max(1, round(epochs * MILESTONE))]
        elif scheduler.type == 'CosineAnnealingLR':
            # Behind a warm-up of an epoch or so, if there is time for one.
            begin = min(scheduler.get('begin', 0), epochs - 1)
            options.update({f'param_scheduler.{i}.begin': begin} if begin else {})
            options[f'param_scheduler.{i}.T_max'] = epochs - begin
        else:
            raise ValueError(f'{cfg.filename}: no rule for a {scheduler.type} of {epochs} epochs (param_scheduler.{i})')
        options[f'param_scheduler.{i}.end'] = epochs
    for i, hook in enumerate(cfg.get('custom_hooks') or []):
        # From the start on: those of the checkpoint that a fine-tuning begins with.
        if hook.type == 'NormEvalHook' and hook.get('begin') != 0:
            options[f'custom_hooks.{i}.begin'] = round(epochs * NORM_EVAL)
    return options


def _smoke_options(cfg: Config) -> dict[str, Any]:
    """A few real iterations of a large config: no weights from the net, small batches, few chips."""
    options: dict[str, Any] = {
        'train_cfg.val_interval': NEVER,
        'train_dataloader.batch_size': 2,
        'train_dataloader.num_workers': 1,
        'test_dataloader.num_workers': 1,
    }
    options.update({f'{key}.init_cfg': None for key in _pretrained_parts(cfg.model, 'model')})
    if cfg.train_dataloader.dataset.type == 'RepeatDataset':
        options['train_dataloader.dataset.times'] = 1
    if cfg.train_dataloader.sampler.type == 'ChipSampler':
        options['train_dataloader.sampler.pixels_per_image'] = SMOKE_CHIP_PIXELS
    return options


def _pretrained_parts(node: Mapping[str, Any], key: str) -> Iterator[str]:
    """Dotted keys of the parts of a model that would load weights from a file or from the net."""
    if (node.get('init_cfg') or {}).get('type') == 'Pretrained':
        yield key
    for name, part in node.items():
        if isinstance(part, Mapping):
            yield from _pretrained_parts(part, f'{key}.{name}')
