"""The classifier of ScaleNet's MNIST experiments, and the same one with deformable convolutions."""

from typing import Any

import torch
from mmcv.cnn import build_conv_layer
from mmdet.registry import MODELS
from torch import Tensor, nn

from .picture_classifier import PictureClassifier


@MODELS.register_module()
class TwoConvClassifier(PictureClassifier):
    """Two 5x5 convolutions with ReLU and max-pooling, and two fully connected layers (ScaleNet, "MNIST").

    With ``conv_cfg=dict(type='DCN')`` the convolutions are deformable (Dai et al. 2017): the paper's deformable CNN, of
    which it says no more than the name.

    Args:
        channels: Filters of the two convolutions.
        hidden: Width of the first fully connected layer; the paper does not give it.
        conv_cfg: Kind of convolution, as mmcv's ``build_conv_layer`` takes it; ``None`` for a plain one.
        **kwargs: Of ``PictureClassifier``.

    Raises:
        ValueError: If the canvas cannot be halved twice.
    """

    def __init__(
        self, channels: tuple[int, int] = (16, 32), hidden: int = 128, conv_cfg: dict | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        if self.canvas % 4:
            raise ValueError(f'TwoConvClassifier.canvas must be a multiple of 4, got {self.canvas!r}')
        layers, before = [], self.in_channels
        for number in channels:
            conv = build_conv_layer(conv_cfg, before, number, kernel_size=5, padding=2)
            # In this order the result is the same, and a ReLU has a quarter of the pixels.
            layers += [conv, nn.MaxPool2d(2), nn.ReLU(inplace=True)]
            before = number
        self.features = nn.Sequential(*layers)
        self.head = nn.Sequential(
            *(nn.Flatten(), nn.Linear(channels[-1] * (self.canvas // 4) ** 2, hidden), nn.ReLU(inplace=True)),
            nn.Linear(hidden, self.num_classes),
        )
        if conv_cfg is None:
            # Up to a quarter less time on a CPU; not tried with mmcv's deformable convolutions.
            self.to(memory_format=torch.channels_last)

    def logits(self, pictures: Tensor) -> Tensor:
        """(N, num_classes) scores of (N, C, canvas, canvas) pictures in [0, 1]."""
        return self.head(self.features(pictures))
