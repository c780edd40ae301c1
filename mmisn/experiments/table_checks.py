"""Checks of what a table file holds, with messages that name file, row and key."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def check_keys(content: Any, known: Sequence[str], needed: Sequence[str], where: str) -> None:
    """Check the keys of a mapping.

    Args:
        content: The mapping.
        known: Keys that it may have.
        needed: Keys that it must have.
        where: What it is, for messages.

    Raises:
        ValueError: If it is no mapping, has an unknown key or lacks one.
    """
    check_type(content, dict, where)
    for key in content:
        if key not in known:
            raise ValueError(f'{where}: unknown key {key!r}; there are {", ".join(known)}')
    for key in needed:
        if key not in content:
            raise ValueError(f'{where}: the key {key!r} is missing')


def check_type(value: Any, kind: type | tuple[type, ...], where: str) -> None:
    """Check that a value is of a type, or of one of several; a bool is no number.

    Raises:
        ValueError: If it is not.
    """
    wrong_bool = isinstance(value, bool) and kind is not bool
    if not isinstance(value, kind) or wrong_bool:
        kinds = kind if isinstance(kind, tuple) else (kind,)
        raise ValueError(f'{where}: must be {" or ".join(k.__name__ for k in kinds)}, got {value!r}')


def check_config(value: Any, where: str, root: Path) -> str:
    """The path of a config file, relative to ``root``.

    Raises:
        ValueError: If there is no such file.
    """
    check_type(value, str, where)
    if not (root / value).is_file():
        # mim would look for a file of that name inside mmdet.
        raise ValueError(f'{where}: no such config file: {value!r} (paths are relative to {root})')
    return value


def check_options(value: Any, where: str) -> dict[str, Any]:
    """Overrides of a config: dotted keys and values that are no mappings.

    Raises:
        ValueError: If they are not.
    """
    check_type(value, dict, where)
    for key, option in value.items():
        check_type(key, str, where)
        if isinstance(option, dict):
            raise ValueError(f'{where}.{key}: --cfg-options has no dicts; give the path of each value, got {option!r}')
    return value


def check_share(value: Any, where: str) -> float:
    """Part of the budget that a training has.

    Raises:
        ValueError: If it is not above 0 and at most 1.
    """
    check_type(value, (int, float), where)
    if not 0 < value <= 1:
        raise ValueError(f'{where}: must be a part of the budget, above 0 and at most 1, got {value!r}')
    return float(value)
