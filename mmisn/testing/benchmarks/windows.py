"""Detecting behind a chip generator: windows of equal size together or packed on canvases, against one at a time."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mmdet.structures import DetDataSample
from mmengine.config import Config
from torch import nn

from mmisn.datasets.picture_folder import find_pictures, read_picture
from mmisn.models.detectors.view_packing import ViewPacking
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
            raise ValueError(f'{self.config}: the model must be a ChipDetector, got {model.get("type")!r}')
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


def detect_in(model: nn.Module, batch_size: int, packing: ViewPacking | None) -> Callable[[np.ndarray], DetDataSample]:
    """A function of one picture that detects with at most so many views at a time, or on canvases."""

    def detect(pixels: np.ndarray) -> DetDataSample:
        model.batch_size, model.packing = batch_size, packing
        return detect_image(model, pixels)

    return detect


def windows_rows(model: nn.Module, pictures: Sequence[np.ndarray], rounds: int, name: str) -> list[Row]:
    """Seconds per picture against one view at a time: in the model's own batches, and side by side on canvases.

    Args:
        model: A ``ChipDetector`` with weights; it is left as it was.
        pictures: (H, W, 3) uint8 BGR images.
        rounds: How often each is timed, see ``interleaved``.
        name: What the model is called.

    Raises:
        ValueError: If the model's own batches are of one view and its masks cannot be packed.
    """
    own = model.batch_size, model.packing
    packing = None if model.view_masks is not None else model.packing or ViewPacking()
    ways = {f'in batches of up to {own[0]}': (own[0], None)} if own[0] > 1 else {}
    if packing is not None:
        ways[f'on canvases of up to {packing.side} px'] = (own[0], packing)
    if not ways:
        raise ValueError(f'{name}: batch_size is 1, there is nothing to compare (model.batch_size in the config)')
    functions = {way: detect_in(model, *arguments) for way, arguments in ways.items()}
    try:
        times = interleaved(dict(single=detect_in(model, 1, None), **functions), pictures, rounds)
        views = np.mean([functions[next(iter(ways))](pixels).num_views for pixels in pictures])
    finally:
        model.batch_size, model.packing = own
    return [
        Row(
            f'detect on a picture, {views:.1f} views, {way}: {name}, {len(pictures)} pictures',
            f'{times[way]:.3f} s',
            f'one view at a time, {times["single"]:.3f} s',
            times['single'] / times[way],
        )
        for way in ways
    ]
