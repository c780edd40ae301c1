"""``SimpleScaleNet``: relative scale per pixel of a small picture (ScaleNet, Table 1)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn

from mmisn.chips.pixel_rules import top_k

from ..picture_batches import check_pictures, picture_batches

OBJECT_PIXELS = ('nonzero', 'picture')
# How far a pixel of the map sees, in pixels: 3 of each 7x7 kernel and 2 of the 5x5 one. What the first kernel makes of
# black is the same everywhere; the zeros that the others pad with change the map as far as this from an edge.
REACH, EDGE = 3 + 3 + 2, 3 + 2
# Below this share of the pixels, a batch is computed around its objects alone: pictures one by one cost a little more.
SHARE = 0.9


@MODELS.register_module()
class SimpleScaleNet(BaseModel):
    """Three convolutions, 7x7x16, 7x7x32 and 5x5x1, each with a ReLU, trained by squared error (ScaleNet, Table 1).

    The target of an object's pixels is its relative scale, that of the background 0. The squared errors are summed over
    the pixels and divided by the number of object pixels: divided by all pixels, most of which are background, the
    gradient would be a tenth of that, and the learning rate of the paper would need ten times the epochs. Those of the
    background can count less: telling ink from ground is easy, but takes most of what the few filters can learn.

    Args:
        in_channels: 1 for grey pictures, 3 for BGR ones.
        canvas: Side in pixels that smaller pictures are padded to with zeros, as in training.
        object_pixels: Which pixels are the object's in training: ``nonzero`` (digits on black) or ``picture``, all of
            the picture that was padded.
        background_weight: Weight of the squared errors of background pixels.
        top_k: Share of the predicted values, largest first, whose mean is the scale that ``predict`` reports.
        data_preprocessor: Config; by default data are moved to the model's device and nothing else.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If an argument is out of its domain.
    """

    def __init__(
        self,
        in_channels: int = 1,
        canvas: int = 28,
        object_pixels: str = 'nonzero',
        background_weight: float = 1.0,
        top_k: float = 0.15,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        if object_pixels not in OBJECT_PIXELS:
            raise ValueError(
                f'SimpleScaleNet.object_pixels must be {" or ".join(OBJECT_PIXELS)}, got {object_pixels!r}'
            )
        if in_channels not in (1, 3):
            raise ValueError(f'SimpleScaleNet.in_channels must be 1 (grey) or 3 (BGR), got {in_channels!r}')
        if not background_weight >= 0:
            raise ValueError(f'SimpleScaleNet.background_weight must be at least 0, got {background_weight!r}')
        self.in_channels, self.canvas, self.object_pixels, self.top_k = in_channels, canvas, object_pixels, top_k
        self.background_weight = background_weight
        self.layers = nn.Sequential(
            *(nn.Conv2d(in_channels, 16, 7, padding=3), nn.ReLU(inplace=True)),
            *(nn.Conv2d(16, 32, 7, padding=3), nn.ReLU(inplace=True)),
            *(nn.Conv2d(32, 1, 5, padding=2), nn.ReLU(inplace=True)),
        )
        self._reset()
        self.to(memory_format=torch.channels_last)  # a tenth to a third less time on a CPU

    def _reset(self) -> None:
        for layer in self.layers[::2]:
            nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
            nn.init.zeros_(layer.bias)
        # The last ReLU has no gradient where it is 0 everywhere.
        nn.init.constant_(self.layers[4].bias, 0.1)

    def forward(self, inputs: Any, mode: str = 'tensor', **targets: Any) -> Any:
        """Scale maps, losses or predictions.

        Args:
            inputs: (N, C, h, w) uint8 pictures; for ``predict`` a list of (C, h, w) may have several sizes.
            mode: ``tensor`` for (N, h, w) maps, ``loss`` for a dict of losses, ``predict`` for a list of dicts with the
                ``scale`` predicted (``None`` for a map without objects), the true one and the ``size``.
            **targets: ``scales`` and ``sizes`` as ``PicturesAtSizes`` gives them.
        """
        if mode == 'tensor':
            return self.layers(inputs.float() / 255)[:, 0]
        if mode == 'loss':
            return self.loss(inputs, targets['scales'], targets['sizes'])
        if mode == 'predict':
            return self._predict(inputs, targets)
        raise ValueError(f'SimpleScaleNet has the modes tensor, loss and predict, got {mode!r}')

    def loss(self, inputs: Tensor, scales: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        """Squared error per object pixel.

        Args:
            inputs: (N, C, h, w) uint8 pictures.
            scales: (N,) relative scales.
            sizes: (N,) sides of the pictures within, pixels.
        """
        objects = self.objects(inputs, sizes)
        target = objects * scales.to(inputs.device).float().view(-1, 1, 1)
        squared = (self(inputs) - target).square()
        weighted = torch.where(objects, squared, self.background_weight * squared)
        return dict(loss_scale=weighted.sum() / objects.sum().clamp(min=1))

    def objects(self, inputs: Tensor, sizes: Tensor) -> Tensor:
        """(N, h, w) bool map of the pixels that are labelled with a scale; arguments as in ``loss``."""
        if self.object_pixels == 'nonzero':
            return (inputs > 0).any(1)
        # Where the spare pixels are odd, fit_canvas leaves the one more at the right and the bottom.
        sides = sizes.to(inputs.device).view(-1, 1)
        inside = []
        for length in inputs.shape[-2:]:
            place, before = torch.arange(length, device=inputs.device), (length - sides).clamp(min=0) // 2
            inside.append((place >= before) & (place < before + sides))
        return inside[0][:, :, None] & inside[1][:, None, :]

    def computed_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        """Width and height of what ``predict_maps`` computes at most: the canvas, or a larger picture itself."""
        return max(size_wh[0], self.canvas), max(size_wh[1], self.canvas)

    @torch.no_grad()
    def predict_maps(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Scale maps of pictures of any sizes, batched by size; the net is in eval mode meanwhile.

        On a CPU, large pictures are computed around what is not black alone; the maps are the same.

        Args:
            images: (H, W) grey or (H, W, 3) BGR uint8 pictures; a net for grey ones averages the channels of colour.

        Returns:
            (H, W) float32 relative scales of each picture.

        Raises:
            ValueError: If a picture has another number of channels or another dtype.
        """
        pictures = check_pictures(images, self.in_channels)
        maps: list[np.ndarray | None] = [None] * len(pictures)
        training, device = self.training, next(self.parameters()).device
        self.eval()
        for numbers, batch in picture_batches(pictures, self.canvas):
            predicted = self._maps_of_batch(batch.to(device)).cpu().numpy()
            for number, scale_map in zip(numbers, predicted):
                maps[number] = _without_padding(scale_map, pictures[number].shape[:2])
        self.train(training)
        return maps

    def _maps_of_batch(self, pictures: Tensor) -> Tensor:
        """(N, h, w) maps of (N, C, h, w) uint8 pictures, computed around what is not black where that is much less.

        The result is that of the whole pictures: elsewhere the map is that of a black picture.
        """
        number, _, height, width = pictures.shape
        if pictures.device.type != 'cpu' or min(height, width) <= 2 * (REACH + EDGE):
            return self(pictures)
        cuts = [_around_object(picture, REACH + EDGE) for picture in pictures]
        pixels = sum((bottom - top) * (right - left) for top, bottom, left, right in cuts)
        if pixels > SHARE * number * height * width:
            return self(pictures)
        # Edges and centre of a black picture's map, without the repetitions of the centre.
        black = self(pictures.new_zeros(1, self.in_channels, 2 * EDGE + 1, 2 * EDGE + 1))[0]
        maps = black[_distinct_places(height)][:, _distinct_places(width)].repeat(number, 1, 1)
        for scale_map, picture, (top, bottom, left, right) in zip(maps, pictures, cuts):
            if top == bottom:
                continue
            part = self(picture[None, :, top:bottom, left:right])[0]
            # Within the picture, the zeros that the layers pad the cut with are wrong.
            low_y, low_x, high_y, high_x = (
                EDGE * inside for inside in (top > 0, left > 0, bottom < height, right < width)
            )
            part = part[low_y : bottom - top - high_y, low_x : right - left - high_x]
            scale_map[top + low_y : bottom - high_y, left + low_x : right - high_x] = part
        return maps

    def _predict(self, inputs: Any, targets: dict[str, Any]) -> list[dict[str, Any]]:
        pictures = [picture.cpu().permute(1, 2, 0).numpy() for picture in inputs]
        results = []
        for i, scale_map in enumerate(self.predict_maps(pictures)):
            values = scale_map[scale_map > 0]
            scale = top_k(values, self.top_k) if values.size else None
            results.append(dict(scale=scale, true_scale=float(targets['scales'][i]), size=int(targets['sizes'][i])))
        return results


def _around_object(picture: Tensor, margin: int) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not black in a (C, h, w) picture, with a margin; all 0 for a black one."""
    inked = (picture > 0).any(0)
    bounds = []
    for axis in (1, 0):
        places = inked.any(axis).nonzero()[:, 0].tolist()
        if not places:
            return 0, 0, 0, 0
        bounds += [max(places[0] - margin, 0), min(places[-1] + 1 + margin, inked.shape[1 - axis])]
    return tuple(bounds)


def _distinct_places(length: int) -> Tensor:
    """Where each place along an axis is found when the centre is one pixel: those within ``EDGE`` of an end differ."""
    place = torch.arange(length)
    return place.clamp(max=EDGE) + (place - (length - 1 - EDGE)).clamp(min=0)


def _without_padding(scale_map: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Cut the picture out of the canvas that ``fit_canvas`` has put it on."""
    top, left = ((whole - side) // 2 for whole, side in zip(scale_map.shape, size_hw))
    return scale_map[top : top + size_hw[0], left : left + size_hw[1]]
