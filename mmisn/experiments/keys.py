"""Keys of trainings and tests: what a result follows from, and nothing else."""

import hashlib
import json
import math
import os
from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmisn.datasets.file_digest import file_digest

# Where data are says nothing of what they are: the digest of the annotation file does. ``proposals`` follow from the
# config.
PATHS = frozenset({'data_root', 'data_prefix', 'ann_file', 'outfile_prefix', 'cache_dir', 'proposals'})
# What makes a run fast or slow only.
MEANS = frozenset({'num_workers', 'persistent_workers', 'pin_memory', 'prefetch_factor', 'num_procs', 'check_images'})
# How often a training is validated does not change it.
VALIDATION = frozenset({'val_interval', 'val_begin', 'dynamic_intervals'})


def key_of_training(cfg: Config, negatives_epochs: int | None = None, pictures: str | None = None) -> str:
    """A key of everything that a training follows from.

    Model (without its test settings), training data and their pipeline, optimizer, schedule, custom hooks and seed; the
    digest of the annotation file in the place of paths. The hooks of ``default_hooks`` log and save; they are left out.

    Args:
        cfg: The config with all overrides.
        negatives_epochs: Epochs of the network that proposes negative chips, if there are any.
        pictures: Digest of data that have no annotation file.
    """
    content = _training(cfg, negatives_epochs)
    return digest(content if pictures is None else dict(content, pictures=pictures))


def key_of_test(cfg: Config, tta: bool, trained: str) -> str:
    """A key of everything that a test follows from: the training (its key), model, data, pipeline, views and metric."""
    views = [cfg.get('tta_model'), cfg.get('tta_pipeline')] if tta else []
    dataset = {k: v for k, v in cfg.test_dataloader.dataset.items() if not (tta and k == 'pipeline')}
    loader = dict(cfg.test_dataloader, dataset=dataset)
    return digest([trained, cfg.model, loader, cfg.test_evaluator, cfg.get('test_cfg'), views])


def _training(cfg: Config, negatives_epochs: int | None) -> dict[str, Any]:
    scale_lr = cfg.get('auto_scale_lr') or {}
    return dict(
        model={k: v for k, v in cfg.model.items() if k != 'test_cfg'},
        data=cfg.train_dataloader,
        optimizer=cfg.optim_wrapper,
        scale_lr=scale_lr if scale_lr.get('enable') else None,
        schedule=cfg.get('param_scheduler'),
        loop={k: v for k, v in cfg.train_cfg.items() if k not in VALIDATION},
        hooks=cfg.get('custom_hooks'),
        seed=cfg.get('randomness'),
        load_from=cfg.get('load_from'),
        negatives=negatives_epochs,
    )


def digest(content: Any) -> str:
    """sha256 of the ``canonical`` form of a config or of parts of it."""
    return hashlib.sha256(json.dumps(canonical(content), sort_keys=True).encode()).hexdigest()


def canonical(content: Any) -> Any:
    """The part of a config that results follow from, in a form of which there is only one.

    Tuples are lists, whole floats are ints, paths and means are left out; in the place of ``ann_file`` is its digest.
    """
    if isinstance(content, Mapping):
        kept = {str(k): canonical(v) for k, v in content.items() if k not in PATHS and k not in MEANS}
        if content.get('ann_file'):
            kept['annotations'] = file_digest(os.path.join(content.get('data_root') or '', content['ann_file']))
        return kept
    if isinstance(content, (list, tuple)):
        return [canonical(v) for v in content]
    if isinstance(content, float):
        if not math.isfinite(content):
            return repr(content)
        return int(content) if content == int(content) else content
    return content if content is None or isinstance(content, (str, int)) else repr(content)
