"""Focal loss over exclusive classes."""

from collections.abc import Sequence

import torch
from mmdet.registry import MODELS
from torch import Tensor, nn
from torch.nn import functional

from .scale_classes import IGNORED


def softmax_focal_loss(logits: Tensor, labels: Tensor, gamma: float, class_weight: Tensor | None = None) -> Tensor:
    """-(1 - p)^gamma log p of the labelled class, p by softmax (Focal Loss, section 3, for more than two classes).

    mmdet's ``FocalLoss`` is one sigmoid per class, and mmcv's softmax one is for GPUs only.

    Args:
        logits: (B, C, h, w).
        labels: (B, h, w) int64 below C, or ``IGNORED``.
        gamma: How much well predicted pixels are played down; 0 is cross entropy.
        class_weight: (C,) weights.

    Returns:
        (B, h, w), 0 where the label is ``IGNORED``.
    """
    cross_entropy = functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction='none')
    # Above 0, where the power has a finite derivative for every gamma.
    missing = (-torch.expm1(-cross_entropy)).clamp(min=torch.finfo(logits.dtype).tiny)
    loss = missing**gamma * cross_entropy
    if class_weight is None:
        return loss
    known = labels != IGNORED
    return loss * torch.where(known, class_weight[labels * known], 0)


@MODELS.register_module()
class SoftmaxFocalLoss(nn.Module):
    """Focal loss over exclusive classes, averaged over the pixels that are not ignored.

    RetinaNet divides by the number of positives. Here a batch without objects is as good as any other, and the mean
    over all pixels keeps its weight; it is not divided by the class weights either.

    Args:
        gamma: As in the focal loss, >= 0; 2 in the paper.
        class_weight: A weight per class, background first; all 1 by default.
        loss_weight: Factor of the whole.

    Raises:
        ValueError: If gamma or a weight is negative.
    """

    def __init__(
        self, gamma: float = 2.0, class_weight: Sequence[float] | None = None, loss_weight: float = 1.0
    ) -> None:
        super().__init__()
        if not gamma >= 0:
            raise ValueError(f'SoftmaxFocalLoss.gamma must be >= 0, got {gamma}')
        if class_weight is not None and not all(w >= 0 for w in class_weight):
            raise ValueError(f'SoftmaxFocalLoss.class_weight must be weights >= 0, got {class_weight}')
        self.gamma = gamma
        self.class_weight = None if class_weight is None else tuple(map(float, class_weight))
        self.loss_weight = loss_weight

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The loss of a batch.

        Args:
            logits: (B, C, h, w).
            labels: (B, h, w) int64 below C, or ``IGNORED``.

        Returns:
            A number; 0 where every pixel is ignored.

        Raises:
            ValueError: If there is not one class weight per class.
        """
        weight = self.class_weight
        if weight is not None and len(weight) != logits.shape[1]:
            raise ValueError(f'SoftmaxFocalLoss has {len(weight)} class weights for {logits.shape[1]} classes')
        # Half precision would lose 1 - p near 0.
        logits = logits.float()
        loss = softmax_focal_loss(
            logits, labels, self.gamma, None if weight is None else logits.new_tensor(self.class_weight)
        )
        return self.loss_weight * loss.sum() / (labels != IGNORED).sum().clamp(min=1)
