"""CapsNet (Sabour, Frosst and Hinton 2017), a baseline of ScaleNet's MNIST experiments.

Shape shorthand: N pictures, I capsules of the first layer, J classes, D length of a class capsule.
"""

from typing import Any

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from .picture_classifier import PictureClassifier

# Equation 4: lengths wanted of present and absent classes, and the weight of the absent ones.
PRESENT, ABSENT, ABSENT_WEIGHT = 0.9, 0.1, 0.5
# Section 4.1: weight of the squared errors of the reconstruction, summed over the pixels.
RECONSTRUCTION_WEIGHT = 0.0005
PRIMARY_LENGTH = 8


def squash(vectors: Tensor) -> Tensor:
    """Equation 1: keep the direction, bring the length into [0, 1); along the last axis."""
    squared = vectors.square().sum(-1, keepdim=True)
    # |v|^2 / (1 + |v|^2) * v / |v|; the root of 0 has no gradient.
    return vectors * squared.clamp(min=1e-12).sqrt() / (1 + squared)


def route(votes: Tensor, iterations: int) -> Tensor:
    """Routing by agreement (procedure 1).

    Args:
        votes: (N, I, J, D) predictions of each class capsule by each capsule below.
        iterations: Rounds, at least 1.

    Returns:
        (N, J, D) class capsules.
    """
    # Gradients do not flow through the agreement, as in the authors' code.
    fixed = votes.detach()
    agreement = votes.new_zeros(votes.shape[:3])
    for _ in range(iterations - 1):
        capsules = squash(torch.einsum('nij,nijd->njd', agreement.softmax(2), fixed))
        agreement = agreement + torch.einsum('njd,nijd->nij', capsules, fixed)
    return squash(torch.einsum('nij,nijd->njd', agreement.softmax(2), votes))


def margin_loss(lengths: Tensor, labels: Tensor) -> Tensor:
    """Equation 4, mean over the pictures.

    Args:
        lengths: (N, J) lengths of the class capsules.
        labels: (N,) classes.
    """
    present = F.one_hot(labels, lengths.shape[1]).to(lengths.dtype)
    losses = present * F.relu(PRESENT - lengths).square()
    losses = losses + ABSENT_WEIGHT * (1 - present) * F.relu(lengths - ABSENT).square()
    return losses.sum(1).mean()


@MODELS.register_module()
class CapsNet(PictureClassifier):
    """Convolution, primary capsules, class capsules by routing, and a decoder that reconstructs the picture.

    Args:
        channels: Filters of both convolutions, 256 in the paper; a multiple of 8.
        length: Length of a class capsule.
        iterations: Rounds of routing.
        **kwargs: Of ``PictureClassifier``.

    Raises:
        ValueError: If the canvas is too small for the two 9x9 convolutions, or the channels make no whole capsules.
    """

    def __init__(self, channels: int = 256, length: int = 16, iterations: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        side = (self.canvas - 8 - 9) // 2 + 1
        if side < 1 or channels % PRIMARY_LENGTH:
            raise ValueError(
                f'CapsNet takes a canvas of at least 17 px and channels that are a multiple of {PRIMARY_LENGTH}, got '
                f'canvas {self.canvas!r} and channels {channels!r}'
            )
        self.iterations = iterations
        self.conv = nn.Conv2d(self.in_channels, channels, 9)
        self.primary = nn.Conv2d(channels, channels, 9, stride=2)
        capsules = channels // PRIMARY_LENGTH * side * side
        self.transforms = nn.Parameter(0.05 * torch.randn(capsules, self.num_classes, PRIMARY_LENGTH, length))
        self.decoder = nn.Sequential(
            *(nn.Linear(self.num_classes * length, 512), nn.ReLU(inplace=True)),
            *(nn.Linear(512, 1024), nn.ReLU(inplace=True)),
            *(nn.Linear(1024, self.in_channels * self.canvas**2), nn.Sigmoid()),
        )

    def capsules(self, pictures: Tensor) -> Tensor:
        """(N, J, D) class capsules of (N, C, canvas, canvas) pictures."""
        features = self.primary(F.relu(self.conv(pictures)))
        number = len(pictures)
        below = features.view(number, -1, PRIMARY_LENGTH, features.shape[2] * features.shape[3])
        below = squash(below.permute(0, 1, 3, 2).reshape(number, -1, PRIMARY_LENGTH))
        return route(torch.einsum('nip,ijpd->nijd', below, self.transforms), self.iterations)

    def logits(self, pictures: Tensor) -> Tensor:
        """(N, J) lengths of the class capsules."""
        return self.capsules(pictures).square().sum(-1).clamp(min=1e-12).sqrt()

    def loss(self, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Margin loss, and the squared error of the picture reconstructed from the true class's capsule."""
        capsules = self.capsules(pictures)
        lengths = capsules.square().sum(-1).clamp(min=1e-12).sqrt()
        kept = capsules * F.one_hot(labels, self.num_classes).to(capsules.dtype)[..., None]
        squared = (self.decoder(kept.flatten(1)) - pictures.flatten(1)).square().sum(1).mean()
        return dict(loss_margin=margin_loss(lengths, labels), loss_reconstruction=RECONSTRUCTION_WEIGHT * squared)
