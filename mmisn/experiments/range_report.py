"""What a range search tried and chose: Markdown, CSV and a picture."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

from mmisn.visualization import markdown_table, write_csv  # noqa: E402

from .range_search import Range, SearchResult  # noqa: E402


def write_search(result: SearchResult, metric: str, prefix: Path, notes: Sequence[str] = ()) -> str:
    """Write ``prefix``.md, .csv and .png.

    Args:
        result: The search.
        metric: What was made high, as fractions.
        prefix: Where to write, without suffix.
        notes: Sentences below the table.

    Returns:
        The page in Markdown.
    """
    prefix.parent.mkdir(parents=True, exist_ok=True)
    rows = [
        [number, round_.bound, spell(tried), f'{100 * score:.1f}', 'best' if tried == round_.best else '']
        for number, round_ in enumerate(result.rounds, 1)
        for tried, score in round_.scores.items()
    ]
    table = markdown_table(['round', 'bound varied', 'range, view px', f'{metric} (%)', ''], rows, left=3)
    page = '\n'.join(['## Range search', '', verdict(result, metric), '', table, '', *(f'- {note}' for note in notes)])
    prefix.with_suffix('.md').write_text(page + '\n')
    csv_rows = [
        [number, round_.bound, *tried, score, tried == round_.best]
        for number, round_ in enumerate(result.rounds, 1)
        for tried, score in round_.scores.items()
    ]
    write_csv(prefix.with_suffix('.csv'), ['round', 'bound', 'lower_px', 'upper_px', metric, 'best'], csv_rows)
    plot_search(result, metric, prefix.with_suffix('.png'))
    return page + '\n'


def spell(scale_range: Range) -> str:
    """A range as the paper writes it."""
    return f'[{scale_range[0]:g}, {scale_range[1]:g}]'


def verdict(result: SearchResult, metric: str) -> str:
    """The chosen range in a sentence, and whether the candidates went far enough."""
    text = f'Chosen: {spell(result.best)} with {metric} {100 * result.score:.1f} after {len(result.scores)} trials.'
    if result.is_interior:
        return text + ' Both bounds have worse candidates on either side.'
    return text + ' A bound is the first or the last of its candidates: try candidates beyond it.'


def plot_search(result: SearchResult, metric: str, path: Path) -> None:
    """Draw the score of every candidate, one panel per round."""
    rounds = result.rounds
    figure, axes = plt.subplots(
        1, len(rounds), sharey=True, squeeze=False, figsize=(1.5 + 2.6 * len(rounds), 3.4), layout='constrained'
    )
    for number, (axis, round_) in enumerate(zip(axes[0], rounds), 1):
        tried = sorted(round_.scores)
        scores = np.array([100 * round_.scores[r] for r in tried])
        places = np.arange(len(tried))
        axis.plot(places, scores, marker='o', color='tab:blue')
        chosen = tried.index(round_.best)
        axis.scatter(chosen, scores[chosen], s=130, facecolors='none', edgecolors='tab:red', linewidths=2, zorder=3)
        axis.set_xticks(places, [spell(r) for r in tried], rotation=30, ha='right', fontsize='small')
        axis.set_xlim(-0.5, len(tried) - 0.5)
        axis.set_title(f'{number}. {round_.bound} bound', fontsize='medium')
        axis.grid(alpha=0.3)
    axes[0][0].set_ylabel(f'{metric} (%)')
    figure.savefig(path, dpi=130)
    plt.close(figure)
