"""Class names of a checkpoint beside those of a config or a data set."""

from collections.abc import Sequence
from typing import Any


def class_names_of_checkpoint(checkpoint: dict[str, Any]) -> tuple[str, ...] | None:
    """The classes that a checkpoint says it was trained on, in the order of its labels; ``None`` if it does not say.

    Args:
        checkpoint: As ``torch.load`` gives it. MMDetection has written the names in several places.
    """
    meta = checkpoint.get('meta') or {}
    saved = {k.lower(): v for k, v in (meta.get('dataset_meta') or {}).items()}
    names = saved.get('classes') or meta.get('CLASSES')
    return _as_tuple(names) or None


def other_class_names(of_checkpoint: Sequence[str] | None, of_data: Sequence[str] | None) -> str | None:
    """A sentence where both have as many classes but not the same names in the same order, else ``None``."""
    first, second = _as_tuple(of_checkpoint), _as_tuple(of_data)
    if len(first) != len(second) or first == second:
        return None
    kind = 'in another order' if sorted(first) == sorted(second) else 'by other names'
    return f'the checkpoint has the classes of the data {kind}: {list(first)} against {list(second)}'


def _as_tuple(names: Sequence[str] | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
