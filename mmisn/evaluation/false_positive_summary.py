"""The kinds of ``false_positives`` counted by view and octave of scale, and tables of them.

Shape shorthand: M detections, V views, B octaves, K kinds.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .diagnosis_summary import edges_of_scales, octave_name
from .false_positives import KINDS, TRUE, DetectionKinds

# Octaves need a smallest scale; boxes below it count as boxes of it.
SMALLEST_PX = 1.0


@dataclass(frozen=True)
class FalsePositiveTable:
    """Detections counted by view, octave of their own scale and kind.

    Attributes:
        edges: (B + 1,) original pixels, each twice the one before; an octave includes its lower edge.
        counts: (V, B + 1, K) detections, kinds in the order of ``KINDS``; the last row is the total.
    """

    edges: np.ndarray
    counts: np.ndarray

    @property
    def false(self) -> np.ndarray:
        """(V, B + 1) false positives."""
        return self.counts.sum(axis=2) - self.counts[:, :, TRUE]

    def name(self, row: int) -> str:
        """``12.8-25.6``, or ``all``."""
        return octave_name(self.edges, row)


def count_kinds(detections: DetectionKinds, num_views: int, edges: np.ndarray) -> FalsePositiveTable:
    """Count detections by view, octave and kind.

    Args:
        detections: Of all images.
        num_views: V.
        edges: Of the octaves of the objects; octaves are added where detections lie outside. Boxes below 1 px count
            in the octave of 1 px, or in the objects' lowest.
    """
    scales = np.maximum(detections.scales, min(SMALLEST_PX, edges[0]))
    edges = edges_of_scales(np.concatenate([edges[:-1], scales]), edges[0])
    rows = np.searchsorted(edges, scales, side='right') - 1
    counts = np.zeros((num_views, len(edges), len(KINDS)), int)
    np.add.at(counts, (detections.view_ids, rows, detections.kinds), 1)
    counts[:, -1] = counts.sum(axis=1)
    return FalsePositiveTable(edges, counts)


def kind_rows(table: FalsePositiveTable) -> tuple[list[str], list[list]]:
    """Header and rows of the table that a user reads: counts by octave."""
    counts = table.counts.sum(axis=0)
    return _header('scale, px'), [[table.name(i), *_cells(c)] for i, c in enumerate(counts)]


def kind_rows_of_views(table: FalsePositiveTable, names: Sequence[str]) -> tuple[list[str], list[list]]:
    """Header and rows of the table that a user reads: counts by view."""
    return _header('view'), [[name, *_cells(c)] for name, c in zip(names, table.counts[:, -1])]


def _header(first: str) -> list[str]:
    return [first, 'detections', KINDS[TRUE], 'false', 'false %', *KINDS[TRUE + 1 :]]


def _cells(counts: np.ndarray) -> list:
    total, true = int(counts.sum()), int(counts[TRUE])
    share = f'{100 * (total - true) / total:.1f}' if total else '-'
    return [total, true, total - true, share, *counts[TRUE + 1 :].tolist()]


def kind_count_rows(table: FalsePositiveTable, names: Sequence[str]) -> tuple[list[str], list[list]]:
    """Header and rows of the table for programs: counts by view and octave; the last view is ``all``."""
    header = ['view', 'lower_px', 'upper_px', *KINDS]
    bounds = [*zip(table.edges[:-1], table.edges[1:]), (table.edges[0], table.edges[-1])]
    rows = []
    for name, counts in zip([*names, 'all'], [*table.counts, table.counts.sum(axis=0)]):
        rows += [[name, f'{lo:.6g}', f'{up:.6g}', *c] for (lo, up), c in zip(bounds, counts.tolist())]
    return header, rows
