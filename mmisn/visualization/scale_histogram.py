"""How large the objects of a data set are, in the original and as the network sees them (ISN, Figure 1e and 1f).

Shape shorthand: N objects of a data set, L levels of a rule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from mmisn.chips.candidates import enclosing_positions
from mmisn.chips.levels import level_geometry
from mmisn.structures import Chip, scales_of_boxes

from .scale_rules import ScaleRule

BINS_PER_OCTAVE = 4
# Without chips an image is one chip, however large.
_NO_LIMIT = 1 << 30


@dataclass(frozen=True)
class SeenScales:
    """Scales sqrt(w * h) of all objects.

    Attributes:
        rule: What they are seen with.
        original: (N,) in original pixels.
        seen: (N, L) in view pixels of each level.
        in_range: (N, L) whether the level's range holds the object.
        trained: (N, L) whether the object is trained on at the level: in range, and small enough for a chip.
    """

    rule: ScaleRule
    original: np.ndarray
    seen: np.ndarray
    in_range: np.ndarray
    trained: np.ndarray

    @property
    def not_enclosed(self) -> np.ndarray:
        """(N, L) whether the object is in range, but too long for a chip of the level."""
        return self.in_range & ~self.trained

    @property
    def out_of_range(self) -> np.ndarray:
        """(N, L) whether the object is out of the level's range."""
        return ~self.in_range


def see_scales(images: Iterable[tuple[tuple[int, int], np.ndarray]], rule: ScaleRule) -> SeenScales:
    """Measure all objects as a rule's levels show them.

    Args:
        images: Per image width and height, and the (n, 4) boxes that may be trained on, in original pixels and clipped.
        rule: Levels, ranges and chips.
    """
    num_levels = len(rule.levels)
    parts = [np.zeros((0, 1 + 3 * num_levels))]
    for image_wh, boxes in images:
        scales = scales_of_boxes(boxes)
        columns = [scales]
        for level, scale_range in zip(rule.levels, rule.ranges):
            chip_size = rule.chip_size or _NO_LIMIT
            rect_wh, size_wh, _, original_range = level_geometry(tuple(image_wh), level, chip_size, scale_range)
            factor = Chip.full(rect_wh, size_wh).factor
            in_range = original_range.contains(scales)
            fits = enclosing_positions(boxes, rect_wh, image_wh)[2]
            columns += [scales * factor, in_range, in_range & fits]
        parts.append(np.stack(columns, axis=1))
    table = np.concatenate(parts)
    return SeenScales(rule, table[:, 0], table[:, 1::3], table[:, 2::3] > 0, table[:, 3::3] > 0)


def octave_edges(scales: np.ndarray, bins_per_octave: int = BINS_PER_OCTAVE) -> np.ndarray:
    """Edges of histogram bins, evenly spaced on a log axis and through 1 px, that hold all scales > 0."""
    scales = np.asarray(scales)
    if scales.size == 0:
        return 2.0 ** (np.arange(bins_per_octave + 1) / bins_per_octave)
    first = int(np.floor(np.log2(scales.min()) * bins_per_octave))
    last = int(np.ceil(np.log2(scales.max()) * bins_per_octave))
    # One more on either side where rounding of the logarithm would leave a scale out.
    first -= scales.min() < 2.0 ** (first / bins_per_octave)
    last += last <= first or scales.max() > 2.0 ** (last / bins_per_octave)
    return 2.0 ** (np.arange(first, last + 1) / bins_per_octave)


HISTOGRAM_COLUMNS = ('original', 'trained', 'out_of_range', 'not_enclosed')


def histogram(scales: SeenScales, edges: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Count objects by scale.

    Args:
        scales: Of ``see_scales``.
        edges: (B + 1,) bin edges; by default those of ``octave_edges`` over all scales.

    Returns:
        (B + 1,) edges and (B, 4) counts: objects in original pixels; then in view pixels objects times levels, those
        trained, those out of range and those in range but too long for a chip.
    """
    if edges is None:
        edges = octave_edges(np.concatenate((scales.original, scales.seen.ravel())))
    series = [scales.original] + [
        scales.seen[mask] for mask in (scales.trained, scales.out_of_range, scales.not_enclosed)
    ]
    return edges, np.stack([np.histogram(s, edges)[0] for s in series], axis=1)


def overlap(scales: SeenScales, share: float = 0.9) -> float:
    """Share of the ignored whose seen scale lies among the trained ones': the paper's "big overlap".

    Args:
        scales: Of ``see_scales``.
        share: Central part of the trained objects' scales that counts.

    Returns:
        In [0, 1]; NaN where nothing is ignored or nothing is trained.
    """
    trained, ignored = scales.seen[scales.trained], scales.seen[~scales.trained]
    if len(trained) == 0 or len(ignored) == 0:
        return float('nan')
    lower, upper = np.quantile(trained, [(1 - share) / 2, (1 + share) / 2])
    return float(((ignored >= lower) & (ignored <= upper)).mean())


SUMMARY_HEADER = (
    'rule',
    'objects',
    'levels',
    'trained at >= 1 level, %',
    'at none, %',
    'of these in range but too long, %',
    'levels per object',
    'ignored at scales of the trained, %',
)


def summary_row(scales: SeenScales, name: str | None = None) -> list[str]:
    """One row of the table whose header is ``SUMMARY_HEADER``."""
    num = len(scales.original)
    trained = scales.trained.any(axis=1)
    lost = scales.in_range.any(axis=1) & ~trained
    share = overlap(scales)
    return [
        name or scales.rule.name,
        str(num),
        str(scales.seen.shape[1]),
        *(f'{100 * v.mean():.1f}' if num else '-' for v in (trained, ~trained, lost)),
        f'{scales.trained.sum(axis=1).mean():.2f}' if num else '-',
        '-' if np.isnan(share) else f'{100 * share:.1f}',
    ]


def histogram_rows(edges: np.ndarray, counts: np.ndarray) -> Sequence[list]:
    """Rows of a CSV table: lower and upper edge of each bin, and its counts."""
    return [[f'{a:.6g}', f'{b:.6g}', *map(int, row)] for a, b, row in zip(edges[:-1], edges[1:], counts)]
