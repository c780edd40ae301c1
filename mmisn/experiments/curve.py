"""Two columns of a table drawn against each other: what a gain costs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

from mmisn.visualization import spread

from .columns import Curve, axis_label
from .report_row import ReportRow


def curve_points(
    rows: Sequence[ReportRow], columns: Mapping[str, str], curve: Curve
) -> dict[str, list[tuple[str, np.ndarray, np.ndarray]]]:
    """Points of a curve: mean over the seeds and spread of each row that has both columns.

    Args:
        rows: Rows of the table.
        columns: Headings by metric key.
        curve: Which columns.

    Returns:
        For each series, in the order of the rows, name, (2,) means and (2,) spreads of its rows in ascending order of
        x. A row without a series is one of its own, called as the row.
    """
    keys = [next(key for key, heading in columns.items() if heading == wanted) for wanted in (curve.x, curve.y)]
    found: dict[str, list[tuple[str, np.ndarray, np.ndarray]]] = {}
    for row in rows:
        values = [row.values(key) for key in keys]
        if any(np.isnan(v).all() for v in values):
            continue
        means, spreads = np.array([np.nanmean(v) for v in values]), np.nan_to_num([spread(v) for v in values])
        found.setdefault(row.row.series or row.row.label, []).append((row.row.label, means, spreads))
    return {series: sorted(points, key=lambda point: point[1][0]) for series, points in found.items()}


def plot_curve(title: str, rows: Sequence[ReportRow], columns: Mapping[str, str], curve: Curve, path: Path) -> bool:
    """Draw a point per row, those of a series joined by a line; the paper's numbers are not in it.

    Args:
        title: Above the picture.
        rows: Rows of the table.
        columns: Headings by metric key.
        curve: Which columns.
        path: The picture.

    Returns:
        Whether there was anything to draw.
    """
    series = curve_points(rows, columns, curve)
    if not series:
        return False
    figure, axis = plt.subplots(figsize=(7.5, 4.8), layout='constrained')
    for number, (name, points) in enumerate(series.items()):
        labels, means, spreads = zip(*points)
        (x, y), (dx, dy) = np.transpose(means), np.transpose(spreads)
        # A row alone is named in the legend.
        style = dict(marker='o', label=name) if len(points) > 1 else dict(marker='*', ls='none', ms=12, label=name)
        line = axis.errorbar(x, y, xerr=dx, yerr=dy, capsize=3, **style)
        for label, point in zip(short_labels(labels), means) if len(points) > 1 else ():
            # Below and above in turns, where series are near each other.
            place = dict(xytext=(4, -9 if number % 2 else 4), textcoords='offset points')
            axis.annotate(label, point, **place, fontsize='x-small', color=line[0].get_color())
    _finish(axis, columns, curve)
    figure.suptitle(title, fontsize='medium', wrap=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
    return True


def short_labels(labels: Sequence[str]) -> list[str]:
    """Labels without the words between commas that all of them begin with, but at least the last word of each."""
    words = [label.split(', ') for label in labels]
    while all(len(w) > 1 for w in words) and len({w[0] for w in words}) == 1:
        words = [w[1:] for w in words]
    return [', '.join(w) for w in words]


def _finish(axis: Any, columns: Mapping[str, str], curve: Curve) -> None:
    keys = {heading: key for key, heading in columns.items()}
    axis.set_xlabel(axis_label(keys[curve.x], curve.x))
    axis.set_ylabel(axis_label(keys[curve.y], curve.y))
    axis.grid(alpha=0.3)
    axis.legend(fontsize='small', loc='lower right')
