"""The classifier of ScaleNet's CIFAR-10 experiments."""

from typing import Any

from mmcv.cnn import VGG
from mmdet.registry import MODELS
from torch import Tensor, nn

from .picture_classifier import PictureClassifier


@MODELS.register_module()
class VGG11Classifier(PictureClassifier):
    """VGG-11 (Simonyan and Zisserman 2015) with batch norm, and fully connected layers that fit small pictures.

    Args:
        hidden: Width of the two hidden fully connected layers.
        dropout: Share of their inputs that is dropped in training.
        **kwargs: Of ``PictureClassifier``.

    Raises:
        ValueError: If the canvas cannot be halved five times, or pictures are grey.
    """

    def __init__(self, hidden: int = 512, dropout: float = 0.5, in_channels: int = 3, **kwargs: Any) -> None:
        super().__init__(in_channels=in_channels, **kwargs)
        if self.canvas % 32 or self.in_channels != 3:
            raise ValueError(
                f'VGG11Classifier takes colour on a canvas that is a multiple of 32, got canvas {self.canvas!r} and '
                f'in_channels {self.in_channels!r}'
            )
        self.features = VGG(depth=11, with_bn=True, with_last_pool=True, out_indices=(4,))
        # VGG starts from a checkpoint otherwise, and from torch's defaults without one.
        for layer in self.features.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, nonlinearity='relu')
        widths = (512 * (self.canvas // 32) ** 2, hidden, hidden)
        layers: list[nn.Module] = [nn.Flatten()]
        for before, after in zip(widths, widths[1:]):
            layers += [nn.Linear(before, after), nn.ReLU(inplace=True), nn.Dropout(dropout)]
        self.head = nn.Sequential(*layers, nn.Linear(hidden, self.num_classes))

    def logits(self, pictures: Tensor) -> Tensor:
        """(N, num_classes) scores of (N, 3, canvas, canvas) BGR pictures in [0, 1]."""
        return self.head(self.features(pictures * 2 - 1))
