"""Detecting behind a chip generator: windows of equal size together, against one at a time."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import nn

from mmisn.datasets.picture_folder import find_pictures, read_picture
from mmisn.models.detectors.wrap import build_chip_detector, detect_image

from .report import Row
from .timing import interleaved


@dataclass(frozen=True)
class WindowsDetector:
    """A ``ChipDetector`` and what it looks at.

    Attributes:
        config: Config file whose model is a ``ChipDetector``.
        checkpoint: Of the detector that it wraps.
        scale_net_checkpoint: Of its scale net; ``None`` for the one that the config names.
        pictures: Folder of pictures; ``None`` where they come from elsewhere.
        number: How many of them are timed, at most.
        device: Where the model is put.
    """

    config: str
    checkpoint: str
    scale_net_checkpoint: str | None
    pictures: str | None
    number: int = 20
    device: str = 'cpu'

    def build(self) -> nn.Module:
        """The model with its weights.

        Raises:
            ValueError: If the config's model is no ``ChipDetector``, or a checkpoint is given for a scale net that it
                does not have.
        """
        cfg = Config.fromfile(self.config)
        model = copy.deepcopy(cfg.get('model') or {})
        if model.get('type') != 'ChipDetector':
            raise ValueError(f'{self.config}: windows needs a ChipDetector, got {model.get("type")!r}')
        if self.scale_net_checkpoint is not None:
            if not model.get('scale_net'):
                raise ValueError(
                    f'{self.config}: a checkpoint of a scale net is given ({self.scale_net_checkpoint}), but its '
                    'ChipDetector has none'
                )
            model.scale_net.init_cfg = dict(type='Pretrained', checkpoint=self.scale_net_checkpoint)
        return build_chip_detector(model, cfg, self.checkpoint, self.device)

    def read(self) -> list[np.ndarray]:
        """The pictures, evenly chosen from the folder.

        Raises:
            ValueError: If there is none.
        """
        paths = find_pictures(self.pictures, Path(self.pictures))
        chosen = np.unique(np.linspace(0, len(paths) - 1, self.number).round().astype(int))
        return [read_picture(paths[i]) for i in chosen]


def jobs(detector: WindowsDetector, rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement."""
    return [('windows', lambda: windows_rows(detector.build(), detector.read(), rounds, Path(detector.config).stem))]


def detect_in_batches_of(model: nn.Module, size: int) -> Callable[[np.ndarray], DetDataSample]:
    """A function of one picture that detects with at most ``size`` views at a time."""

    def detect(pixels: np.ndarray) -> DetDataSample:
        model.batch_size = size
        return detect_image(model, pixels)

    return detect


def windows_rows(model: nn.Module, pictures: Sequence[np.ndarray], rounds: int, name: str) -> list[Row]:
    """Seconds per picture, the model's own batches against batches of one.

    Args:
        model: A ``ChipDetector`` with weights; it is left as it was.
        pictures: (H, W, 3) uint8 BGR images.
        rounds: How often each is timed, see ``interleaved``.
        name: What the model is called.

    Raises:
        ValueError: If the model's own batches are of one view.
    """
    size = model.batch_size
    if size == 1:
        raise ValueError(f'{name}: batch_size is 1, there is nothing to compare (model.batch_size in the config)')
    ours, single = (detect_in_batches_of(model, n) for n in (size, 1))
    try:
        times = interleaved(dict(ours=ours, single=single), pictures, rounds)
        views = np.mean([ours(pixels).num_views for pixels in pictures])
    finally:
        model.batch_size = size
    return [
        Row(
            f'detect on a picture, {views:.1f} views, in batches of up to {size}: {name}, {len(pictures)} pictures',
            f'{times["ours"]:.3f} s',
            f'one view at a time, {times["single"]:.3f} s',
            times['single'] / times['ours'],
        )
    ]
