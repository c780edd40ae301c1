"""Overrides of a config, as ``--cfg-options`` takes them: written so that they survive, checked before use."""

import copy
import difflib
import inspect
from collections.abc import Mapping, Set
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, get_args

from mmengine.config import Config, DictAction
from mmengine.registry import Registry
from mmengine.registry.root import (
    DATA_SAMPLERS,
    DATASETS,
    HOOKS,
    METRICS,
    MODELS,
    OPTIM_WRAPPERS,
    TASK_UTILS,
    TRANSFORMS,
)

from mmisn._config_files import read_config

# Where classes that a config names by ``type`` may be registered.
REGISTRIES: tuple[Registry, ...] = (
    TRANSFORMS,
    MODELS,
    DATASETS,
    DATA_SAMPLERS,
    METRICS,
    TASK_UTILS,
    HOOKS,
    OPTIM_WRAPPERS,
)


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
    return read_config(path)


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


@dataclass(frozen=True)
class _Open:
    """A part of a config that is not there, but that a class would read.

    Attributes:
        default: What the class takes instead.
        keys: The keys that it may have; ``None`` where they are not known.
    """

    default: Any = None
    keys: frozenset[str] | None = None


def check_option(cfg: Config, key: str, where: str) -> None:
    """Check that an option changes something; see ``apply_options``.

    Keys below an argument that the config leaves out are taken where the argument is a dict or ``None`` by default. If
    the class annotates its attribute of that name as a dataclass, as ``ChipDataset.negatives``, they must be fields.
    """
    node, done, argument = cfg._cfg_dict, [], None
    for part in key.split('.'):
        at = '.'.join(done) or 'the config'
        if isinstance(node, dict) and part not in node and argument is not None and argument.keys:
            node = argument
        kind = node.get('type') if isinstance(node, dict) else None
        try:
            node = _below(node, part, at)
        except KeyError as error:
            raise ValueError(f'{where}: option {key}: {error.args[0]}') from None
        argument = _arguments(kind).get(part)
        done.append(part)


def _below(node: Any, part: str, at: str) -> Any:
    """What a part of a config has under a key; a ``KeyError`` whose text says why it has nothing."""
    if isinstance(node, (list, tuple)):
        if not part.isdigit() or int(part) >= len(node):
            raise KeyError(f'{at} has entries 0 to {len(node) - 1}, got {part!r}')
        return node[int(part)]
    if isinstance(node, _Open):
        return _below_open(node, part, at)
    if isinstance(node, dict):
        arguments = _arguments(node.get('type'))
        if part in node:
            return node[part]
        if part in arguments:
            return arguments[part]
        raise KeyError(_unknown(part, at, {*node, *arguments}))
    hint = ' in the config, and mmengine merges no key into that: leave it out of the config' if node is None else ''
    raise KeyError(f'{at} is {node!r}{hint or f", which has no {part!r}"}')


def _below_open(node: _Open, part: str, at: str) -> _Open:
    if node.default is not None and not isinstance(node.default, Mapping):
        raise KeyError(f'{at} is {node.default!r} by default, which has no {part!r}')
    if node.keys is None:
        return _Open()
    if not node.keys:
        raise KeyError(f'{at} takes no further keys, got {part!r}')
    if part not in node.keys:
        raise KeyError(_unknown(part, at, node.keys))
    return _Open(keys=frozenset())


def _unknown(part: str, at: str, keys: Set[str]) -> str:
    known = sorted(keys)
    near = difflib.get_close_matches(part, known, 1)
    return f'{at} has no {part!r}' + (f', perhaps {near[0]!r} is meant' if near else f'; there are {", ".join(known)}')


@lru_cache(maxsize=256)
def _arguments(kind: Any) -> Mapping[str, _Open]:
    """Arguments of the class that configs call ``kind``; empty where it is not known."""
    found = next((c for c in (_registered(r, kind) for r in REGISTRIES) if c is not None), None)
    if not inspect.isclass(found):
        return {}
    arguments: dict[str, _Open] = {}
    # Many classes hand **kwargs on to their base, whose defaults come last.
    for parent in found.__mro__[:-1]:
        if '__init__' in vars(parent):
            for name, parameter in inspect.signature(parent.__init__).parameters.items():
                default = None if parameter.default is parameter.empty else parameter.default
                arguments.setdefault(name, _Open(default, _declared_keys(parent, name)))
    return {name: argument for name, argument in arguments.items() if name not in ('self', 'args', 'kwargs')}


def _declared_keys(owner: type, name: str) -> frozenset[str] | None:
    """Fields of the dataclass that a class annotates its attribute as."""
    hint = vars(owner).get('__annotations__', {}).get(name)
    kind = next((h for h in (hint, *get_args(hint)) if inspect.isclass(h) and is_dataclass(h)), None)
    return None if kind is None else frozenset(f.name for f in fields(kind))


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
