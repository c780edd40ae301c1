"""Fewer proposals for smaller views: the second stage costs as much per proposal, however small the view is."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import nn


@dataclass(frozen=True)
class ViewProposals:
    """How many proposals of a two-stage detector's RPN a view may keep.

    Args:
        per_mpx: Proposals per million pixels of the view.
        at_least: But no fewer than this many, for a small view may be crowded.

    Raises:
        ValueError: If a number is not positive.
    """

    per_mpx: float
    at_least: int = 50

    def __post_init__(self) -> None:
        for name in ('per_mpx', 'at_least'):
            if not getattr(self, name) > 0:
                raise ValueError(f'view_proposals.{name} must be above 0, got {getattr(self, name)!r}')

    @classmethod
    def build(cls, value: Any, detector: nn.Module) -> 'ViewProposals | None':
        """From an instance, its arguments, ``per_mpx`` alone, or ``None`` for no limit.

        Args:
            value: What to build from.
            detector: Of which views shall be limited.

        Raises:
            ValueError: If an argument is unknown, or the detector has no ``rpn_head`` that keeps ``max_per_img``.
        """
        if value is None or isinstance(value, cls):
            limit = value
        elif isinstance(value, dict):
            unknown = sorted(set(value) - {'per_mpx', 'at_least'})
            if unknown or 'per_mpx' not in value:
                raise ValueError(f'view_proposals has per_mpx and, optionally, at_least, got {sorted(value)}')
            limit = cls(**value)
        else:
            limit = cls(value)
        if limit is not None and 'max_per_img' not in (_rpn_test_cfg(detector) or {}):
            raise ValueError(
                f'view_proposals={value!r} has nothing to limit: {type(detector).__name__} has no rpn_head with a '
                'test_cfg.max_per_img'
            )
        return limit

    def number(self, num_pixels: int) -> int:
        """Proposals of a view of so many pixels."""
        return max(self.at_least, round(self.per_mpx * num_pixels / 1e6))

    @contextmanager
    def applied(self, detector: nn.Module, num_pixels: int) -> Iterator[None]:
        """Meanwhile the detector's RPN keeps so many proposals of each image, or fewer where it did so before."""
        test_cfg = _rpn_test_cfg(detector)
        before = test_cfg['max_per_img']
        test_cfg['max_per_img'] = min(before, self.number(num_pixels))
        try:
            yield
        finally:
            test_cfg['max_per_img'] = before


def _rpn_test_cfg(detector: nn.Module) -> dict | None:
    return getattr(getattr(detector, 'rpn_head', None), 'test_cfg', None)
