"""Overrides of a config, as ``--cfg-options`` takes them: written so that they survive, checked before use."""

import copy
import difflib
import inspect
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mmengine.config import Config, DictAction
from mmengine.registry import Registry
from mmengine.registry.root import DATA_SAMPLERS, DATASETS, HOOKS, METRICS, MODELS, TASK_UTILS, TRANSFORMS

# Where classes that a config names by ``type`` may be registered.
REGISTRIES: tuple[Registry, ...] = (TRANSFORMS, MODELS, DATASETS, DATA_SAMPLERS, METRICS, TASK_UTILS, HOOKS)


def option_text(value: Any) -> str:
    """A value as ``--cfg-options KEY=VALUE`` takes it.

    Raises:
        ValueError: If mmengine would read something else, as it does of text with blanks or commas.
    """
    text = _text(value)
    if DictAction._parse_iterable(text) != value:
        raise ValueError(
            f'--cfg-options cannot pass {value!r}: mmengine would read {DictAction._parse_iterable(text)!r}'
        )
    return text


def _text(value: Any) -> str:
    if isinstance(value, list):
        return f'[{",".join(map(_text, value))}]'
    if isinstance(value, tuple):
        # mmengine has no tuple of one: the comma would be lost, and is not needed.
        return f'({",".join(map(_text, value))})'
    return str(value)


def option_args(options: Mapping[str, Any]) -> list[str]:
    """``--cfg-options`` and its arguments; nothing where there are no options."""
    return ['--cfg-options', *(f'{key}={option_text(value)}' for key, value in options.items())] if options else []


@lru_cache(maxsize=64)
def _from_file(path: str) -> Config:
    return Config.fromfile(path)


def load_config(path: str) -> Config:
    """A config file, read once; every caller has a copy of its own."""
    return copy.deepcopy(_from_file(path))


def apply_options(cfg: Config, options: Mapping[str, Any], where: str) -> None:
    """Override a config in place, as ``mim`` would.

    Args:
        cfg: The config.
        options: Dotted keys and values.
        where: What the options belong to, for messages.

    Raises:
        ValueError: If an option is neither in the config nor an argument of the class that it would be given to.
            mmengine would add it, and nobody would ever read it.
    """
    for key, value in options.items():
        check_option(cfg, key, where)
        cfg.merge_from_dict({key: value})


def check_option(cfg: Config, key: str, where: str) -> None:
    """Check that an option changes something; see ``apply_options``."""
    node, done = cfg._cfg_dict, []
    for part in key.split('.'):
        at = '.'.join(done) or 'the config'
        if isinstance(node, (list, tuple)):
            if not part.isdigit() or int(part) >= len(node):
                raise ValueError(f'{where}: option {key}: {at} has entries 0 to {len(node) - 1}, got {part!r}')
            node = node[int(part)]
        elif isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, dict) and part in _arguments(node.get('type')):
            node = None
        else:
            raise ValueError(f'{where}: option {key}: {_unknown(node, part, at)}')
        done.append(part)


def _unknown(node: Any, part: str, at: str) -> str:
    if not isinstance(node, dict):
        return f'{at} is {node!r}, which has no {part!r}'
    known = sorted({*node, *_arguments(node.get('type'))})
    near = difflib.get_close_matches(part, known, 1)
    return f'{at} has no {part!r}' + (f', perhaps {near[0]!r} is meant' if near else f'; there are {", ".join(known)}')


@lru_cache(maxsize=256)
def _arguments(kind: Any) -> frozenset[str]:
    """Arguments of the class that configs call ``kind``; empty where it is not known."""
    found = next((c for c in (_registered(r, kind) for r in REGISTRIES) if c is not None), None)
    if not inspect.isclass(found):
        return frozenset()
    names = set()
    # Many classes hand **kwargs on to their base.
    for parent in found.__mro__[:-1]:
        if '__init__' in vars(parent):
            names.update(inspect.signature(parent.__init__).parameters)
    return frozenset(names - {'self', 'args', 'kwargs'})


def _registered(registry: Registry, kind: Any) -> Any:
    if not isinstance(kind, str):
        return None
    # Configs say ``default_scope = 'mmdet'``: the registries of mmdet are children of these.
    child = registry.children.get('mmdet')
    return (child.get(kind) if child is not None else None) or registry.get(kind)


def inner_dataset_key(cfg: Config) -> str:
    """Dotted key of the dataset that reads images and annotations in training, below its wrappers."""
    key, node = 'train_dataloader.dataset', cfg.train_dataloader.dataset
    while 'dataset' in node:
        key, node = f'{key}.dataset', node.dataset
    return key
