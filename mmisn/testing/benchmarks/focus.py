"""Detecting in a pyramid in focus against the whole pyramid, around the same trained detector."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from mmdet.structures import DetDataSample
from torch import nn

from mmisn.models.detectors.wrap import detect_image

from .report import Row, Target
from .timing import interleaved
from .windows import WindowsDetector

A_THIRD = Target(1 / 3, at_least=False)


def jobs(detector: WindowsDetector, pyramid: str, rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement.

    Args:
        detector: The pyramid in focus.
        pyramid: Config file of a ``ChipDetector`` that computes it whole; it gets the same checkpoint.
        rounds: How often each is timed, see ``interleaved``.
    """
    whole = replace(detector, config=pyramid, scale_net_checkpoint=None)
    names = [Path(config).stem for config in (detector.config, pyramid)]
    return [('focus', lambda: focus_rows(detector.build(), whole.build(), detector.read(), rounds, *names))]


def focus_rows(
    focus: nn.Module, pyramid: nn.Module, pictures: Sequence[np.ndarray], rounds: int, name: str, pyramid_name: str
) -> list[Row]:
    """Seconds and megapixels per picture, those of the scale net with them.

    Args:
        focus: A ``ChipDetector`` with weights.
        pyramid: What it is compared with, likewise.
        pictures: (H, W, 3) uint8 BGR images.
        rounds: How often each is timed, see ``interleaved``.
        name: What ``focus`` is called.
        pyramid_name: What ``pyramid`` is called.
    """
    models = dict(focus=focus, pyramid=pyramid)
    pixels = {key: np.mean([_megapixels(detect_image(model, p)) for p in pictures]) for key, model in models.items()}
    functions = {key: lambda picture, model=model: detect_image(model, picture) for key, model in models.items()}
    times = interleaved(functions, pictures, rounds)
    what = f'on a picture: {name}, {len(pictures)} pictures'
    return [
        Row(
            f'detect {what}',
            f'{times["focus"]:.3f} s',
            f'{pyramid_name}, {times["pyramid"]:.3f} s',
            times['focus'] / times['pyramid'],
            A_THIRD,
            'x the time',
        ),
        Row(
            f'pixels {what}',
            f'{pixels["focus"]:.3f} Mpx',
            f'{pyramid_name}, {pixels["pyramid"]:.3f} Mpx',
            pixels['focus'] / pixels['pyramid'],
            A_THIRD,
            'x as many',
        ),
    ]


def _megapixels(found: DetDataSample) -> float:
    return (found.view_pixels + found.get('scale_net_pixels', 0)) / 1e6
