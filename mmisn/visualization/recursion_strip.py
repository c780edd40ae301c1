"""The recursion of one picture as a strip of views and scale maps (ScaleNet, Figure 2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use('Agg')
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402

SIDE_INCHES = 1.7


@dataclass(frozen=True)
class RecursionStep:
    """A view of the recursion.

    Attributes:
        view: (h, w) or (h, w, C) uint8 picture, BGR.
        scale_map: (h, w) relative scales, 0 is background.
        top_k: Mean of the largest values of the map, which decides; ``None`` where all is background.
        note: Added to the title, the classifier's answer say.
    """

    view: np.ndarray
    scale_map: np.ndarray
    top_k: float | None
    note: str = ''


def draw_recursion(steps: Sequence[RecursionStep], path: str | Path, title: str = '') -> None:
    """Draw the views in a row and their scale maps below, all maps with one range of colours.

    Every view is drawn equally large; its size in pixels stands above it.

    Args:
        steps: The views in turn, at least one.
        path: Picture that is written.
        title: Above the strip.

    Raises:
        ValueError: If there are no steps.
    """
    if not steps:
        raise ValueError('a strip needs at least one step')
    size = (SIDE_INCHES * len(steps) + 0.9, 2 * SIDE_INCHES + 1.1)
    figure, axes = plt.subplots(2, len(steps), squeeze=False, figsize=size, layout='constrained')
    largest = max(1.0, *(float(step.scale_map.max()) for step in steps))
    for step, (above, below) in zip(steps, axes.T):
        height, width = step.view.shape[:2]
        # matplotlib wants RGB, and grey pictures without an axis of channels.
        above.imshow(
            step.view[..., ::-1].squeeze() if step.view.ndim == 3 else step.view,
            cmap='gray',
            vmin=0,
            vmax=255,
            interpolation='nearest',
        )
        above.set_title('\n'.join([f'{width}×{height} px', *([step.note] if step.note else [])]), fontsize='small')
        drawn = below.imshow(step.scale_map, cmap='viridis', vmin=0, vmax=largest, interpolation='nearest')
        below.set_xlabel('no object' if step.top_k is None else f'Top-K {step.top_k:.2f}', fontsize='small')
        for axis in (above, below):
            axis.set_xticks([])
            axis.set_yticks([])
    figure.colorbar(drawn, ax=axes[1], label='relative scale', shrink=0.9)
    if title:
        figure.suptitle(title, fontsize='medium')
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    plt.close(figure)
