"""What a ScaleNet makes of its features: probabilities of scale classes, or a relative scale."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn

from .scale_classes import BACKGROUND, IGNORED, IGNORED_SCALE, ScaleClasses, check_measure
from .targets import ImageObjects, class_map, relative_scale_map

LOGGED_STRIDE = 4


@MODELS.register_module()
class ScaleClassHead(BaseModule):
    """A class of scale per pixel.

    Args:
        in_channels: Channels of the features.
        bounds: Bounds between the classes, see ``ScaleClasses``.
        measure: ``sqrt_box`` or ``mask_area``.
        loss: Config of the loss, of logits (B, C, h, w) and labels (B, h, w).
        init_cfg: Of ``BaseModule``.

    Attributes:
        scale_classes: The ``ScaleClasses``.

    Raises:
        ValueError: If the bounds or the measure are invalid.
    """

    padding = IGNORED

    def __init__(
        self,
        in_channels: int,
        bounds: Sequence[float],
        measure: str = 'mask_area',
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.scale_classes = ScaleClasses(tuple(bounds), measure)
        self.conv = nn.Conv2d(in_channels, self.scale_classes.num_classes, 1)
        self.loss_module = MODELS.build(loss or dict(type='SoftmaxFocalLoss', gamma=2.0))

    @property
    def measure(self) -> str:
        """``sqrt_box`` or ``mask_area``."""
        return self.scale_classes.measure

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, h, w) logits of (B, in_channels, h, w) features."""
        return self.conv(features)

    def target(self, objects: ImageObjects) -> np.ndarray:
        """(h, w) uint8 classes of one image."""
        return class_map(objects.map, objects.scales, self.scale_classes)

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss; and, for the log, the share of every fourth row's and column's pixels whose class is right.

        Args:
            logits: (B, C, h, w).
            targets: (B, h, w) classes, ``IGNORED`` where there is no telling.
        """
        losses = dict(loss_scale=self.loss_module(logits, targets.long()))
        # For the log. The most probable class of all pixels would take a tenth of a training step.
        shown, labels = (maps[..., ::LOGGED_STRIDE, ::LOGGED_STRIDE] for maps in (logits.detach(), targets))
        known = labels != IGNORED
        right = (shown.argmax(dim=1) == labels) & known
        # Predicting background alone has most pixels of a picture right, so objects count for themselves.
        objects = known & (labels != BACKGROUND)
        losses['accuracy'] = right.sum() / known.sum().clamp(min=1)
        losses['object_accuracy'] = (right & objects).sum() / objects.sum().clamp(min=1)
        return losses

    def maps(self, logits: Tensor) -> Tensor:
        """(B, C, h, w) probabilities of (B, C, h, w) logits."""
        return logits.float().softmax(dim=1)


@MODELS.register_module()
class ScaleRegressionHead(BaseModule):
    """A relative scale per pixel; 0 is background.

    Args:
        in_channels: Channels of the features.
        unit: The scale that is 1, in pixels as the network sees the image: sqrt(w * h) or sqrt(mask area), by
            ``measure``.
        measure: ``sqrt_box`` or ``mask_area``.
        loss: Config of the loss, with mmdet's arguments ``weight`` and ``avg_factor``. The squared errors are averaged
            over the pixels that are not ignored.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If the unit is not above 0 or the measure unknown.
    """

    padding = IGNORED_SCALE
    scale_classes = None

    def __init__(
        self,
        in_channels: int,
        unit: float,
        measure: str = 'mask_area',
        loss: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if not 0 < unit < float('inf'):
            raise ValueError(f'ScaleRegressionHead.unit must be a number of pixels > 0, got {unit}')
        self.unit = float(unit)
        self.measure = check_measure(measure)
        self.conv = nn.Conv2d(in_channels, 1, 1)
        self.loss_module = MODELS.build(loss or dict(type='MSELoss'))

    def forward(self, features: Tensor) -> Tensor:
        """(B, 1, h, w) relative scales of (B, in_channels, h, w) features; not clamped, so that all have a gradient."""
        return self.conv(features)

    def target(self, objects: ImageObjects) -> np.ndarray:
        """(h, w) float32 relative scales of one image."""
        return relative_scale_map(objects.map, objects.scales, self.measure, self.unit)

    def loss(self, logits: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The loss.

        Args:
            logits: (B, 1, h, w).
            targets: (B, h, w) relative scales, ``IGNORED_SCALE`` where there is no telling.
        """
        known = (targets != IGNORED_SCALE).float()
        average = max(1.0, float(known.sum()))
        return dict(loss_scale=self.loss_module(logits[:, 0].float(), targets, weight=known, avg_factor=average))

    def maps(self, logits: Tensor) -> Tensor:
        """(B, h, w) relative scales >= 0 of (B, 1, h, w) raw ones."""
        return logits[:, 0].float().clamp(min=0)


def targets_of(head: Any, samples: Sequence[Any], size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """The targets of a batch; pixels that pad an image to the batch's size are ignored.

    Args:
        head: A scale head.
        samples: Data samples, see ``ImageObjects``.
        size_hw: Height and width of the batch.
        device: Where to put them.

    Returns:
        (B, h, w), of the head's kind.
    """
    padded = []
    for sample in samples:
        target = head.target(ImageObjects(sample, head.measure))
        whole = np.full(size_hw, head.padding, target.dtype)
        whole[: target.shape[0], : target.shape[1]] = target
        padded.append(whole)
    return torch.from_numpy(np.stack(padded)).to(device)
