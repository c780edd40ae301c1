"""The states of ``view_diagnosis`` counted by octave of scale, and tables of them.

Shape shorthand: N objects, V views, B octaves.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .view_diagnosis import FOUND, MERGED_STATES, UNSEEN, VIEW_STATES
from .view_diagnosis import ObjectStates as States


@dataclass(frozen=True)
class TestedViews:
    """The views of a test.

    Attributes:
        names: V names.
        bounds: (V, 2) range of each in original pixels, of a usual image; 0 and infinity for none.
        factors: (V,) view pixels per original pixel, of a usual image.
        megapixels: (V,) pixels per image, in millions, on average.
    """

    names: Sequence[str]
    bounds: np.ndarray
    factors: np.ndarray
    megapixels: np.ndarray

    __test__ = False  # no test class, whatever pytest makes of the name


@dataclass(frozen=True)
class OctaveTable:
    """Objects counted by octave of their scale; the last row of each count is the total.

    Attributes:
        edges: (B + 1,) original pixels, each twice the one before; an octave includes its lower edge.
        rows: (N,) octave of each object.
        objects: (B + 1,) objects.
        views: (B + 1, V, 4) of these per view and state, in the order of ``VIEW_STATES``.
        merged: (B + 1, 4) of these per state, in the order of ``MERGED_STATES``.
        no_range: (B + 1,) of these in no view's range.
        detector: (B + 1,) of these in some view's range and yet found by no view, in range or out of it.
    """

    edges: np.ndarray
    rows: np.ndarray
    objects: np.ndarray
    views: np.ndarray
    merged: np.ndarray
    no_range: np.ndarray
    detector: np.ndarray

    def name(self, row: int) -> str:
        """``12.8-25.6``, or ``all``."""
        return octave_name(self.edges, row)


def octave_name(edges: np.ndarray, row: int) -> str:
    """``12.8-25.6``; ``all`` for the row after the last octave's."""
    return 'all' if row == len(edges) - 1 else f'{edges[row]:.4g}-{edges[row + 1]:.4g}'


def count_octaves(states: States, anchor: float = 1.0) -> OctaveTable:
    """Count objects by octave of scale.

    Args:
        states: Of the objects.
        anchor: Original pixels; one of the octaves' edges, so that a range's bounds need not lie within an octave.

    Raises:
        ValueError: If ``anchor`` is not positive and finite.
    """
    if not 0 < anchor < math.inf:
        raise ValueError(f'an edge of octaves must be > 0 and finite, got {anchor}')
    edges = edges_of_scales(states.scales, anchor)
    rows = np.searchsorted(edges, states.scales, side='right') - 1
    masks = [rows == i for i in range(len(edges) - 1)] + [np.ones(len(states), bool)]
    unseen = (states.merged == UNSEEN) & states.in_range.any(axis=1)
    return OctaveTable(
        edges=edges,
        rows=rows,
        objects=np.array([m.sum() for m in masks]),
        views=np.stack([_count(states.states[m], len(VIEW_STATES)) for m in masks]),
        merged=np.stack([_count(states.merged[m, None], len(MERGED_STATES))[0] for m in masks]),
        no_range=np.array([(~states.in_range[m].any(axis=1)).sum() for m in masks]),
        detector=np.array([unseen[m].sum() for m in masks]),
    )


def edges_of_scales(scales: np.ndarray, anchor: float) -> np.ndarray:
    """Edges of the octaves from the smallest scale's to the largest scale's.

    Args:
        scales: (N,) pixels, > 0; none give the octave above ``anchor``.
        anchor: One of the edges is this times a power of two.

    Returns:
        (B + 1,) ascending.
    """
    if len(scales) == 0:
        return anchor * np.array([1.0, 2.0])
    first, last = (math.floor(math.log2(s / anchor)) for s in (scales.min(), scales.max()))
    # One more on either side: the logarithm of a scale on an edge may be rounded to the wrong one.
    edges = anchor * 2.0 ** np.arange(first - 1, last + 3)
    start = np.searchsorted(edges, scales.min(), side='right') - 1
    return edges[start : np.searchsorted(edges, scales.max(), side='right') + 1]


def _count(states: np.ndarray, number: int) -> np.ndarray:
    """(n, V) states to (V, number) counts."""
    return np.stack([(states == i).sum(axis=0) for i in range(number)], axis=1)


def octave_anchor(bounds: np.ndarray) -> float:
    """The smallest lower bound > 0 of views' ranges, in original pixels to three digits; 1 px where there is none."""
    lower = bounds[:, 0][bounds[:, 0] > 0]
    return float(f'{lower.min():.3g}') if len(lower) else 1.0


def octave_rows(table: OctaveTable, names: Sequence[str]) -> tuple[list[str], list[list]]:
    """Header and rows of the table that a user reads: percent of the objects of each octave."""
    header = ['scale, px', 'objects', *(f'{n} %' for n in names), *(f'{s} %' for s in MERGED_STATES)]
    header[len(names) + 2] = 'merged: found %'
    header += ['in no range %']
    rows = []
    for i, objects in enumerate(table.objects.tolist()):
        values = [*table.views[i, :, FOUND], *table.merged[i], table.no_range[i]]
        rows.append([table.name(i), objects, *(f'{100 * v / objects:.1f}' if objects else '-' for v in values)])
    return header, rows


def count_rows(table: OctaveTable, names: Sequence[str]) -> tuple[list[str], list[list]]:
    """Header and rows of the table for programs: counts of every state."""
    header = ['lower_px', 'upper_px', 'objects', *(f'{n}: {s}' for n in names for s in VIEW_STATES)]
    header += [f'merged: {s}' for s in MERGED_STATES] + ['in_no_range']
    bounds = [*zip(table.edges[:-1], table.edges[1:]), (table.edges[0], table.edges[-1])]
    rows = []
    for i, (lower, upper) in enumerate(bounds):
        counts = [table.objects[i], *table.views[i].ravel(), *table.merged[i], table.no_range[i]]
        rows.append([f'{lower:.6g}', f'{upper:.6g}', *map(int, counts)])
    return header, rows


def object_rows(states: States, names: Sequence[str], classes: Mapping | Sequence) -> tuple[list[str], list[list]]:
    """Header and rows of the table of all objects."""
    header = [
        'image_id',
        'annotation_id',
        'class',
        'scale_px',
        'merged',
        'merged_score',
        'instead_of_it',
        'best_view',
        'best_score',
    ]
    header += list(names)
    rows = []
    for i in range(len(states)):
        seen = ~np.isnan(states.scores[i])
        best = int(np.nanargmax(states.scores[i])) if seen.any() else None
        row = [states.image_ids[i], states.annotation_ids[i], classes[int(states.labels[i])]]
        row += [f'{states.scales[i]:.2f}', MERGED_STATES[states.merged[i]], _score(states.merged_scores[i])]
        row.append(names[states.rivals[i]] if states.rivals[i] >= 0 else '')
        row += ['', ''] if best is None else [names[best], _score(states.scores[i, best])]
        rows.append(row + [VIEW_STATES[s] for s in states.states[i]])
    return header, rows


def _score(score: float) -> str:
    return '' if np.isnan(score) else f'{score:.3f}'
