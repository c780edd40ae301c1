"""Classifiers of small pictures, and what all of them do alike."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.model import BaseModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from mmisn.chips.rescale import fit_canvas

from ..picture_batches import check_pictures, picture_batches


class PictureClassifier(BaseModel):
    """Classify pictures on a square canvas; a larger picture is cropped to the canvas at its centre.

    How the paper's classifiers see pictures that are larger than those of the training is not stated; its accuracy on
    them, that of chance, fits a centre crop.

    Args:
        in_channels: 1 for grey pictures, 3 for BGR ones.
        canvas: Side of the canvas in pixels.
        num_classes: Number of classes.
        data_preprocessor: Config; by default data are moved to the model's device and nothing else.
        init_cfg: Of ``BaseModule``.
    """

    def __init__(
        self,
        in_channels: int = 1,
        canvas: int = 28,
        num_classes: int = 10,
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.in_channels, self.canvas, self.num_classes = in_channels, canvas, num_classes

    @abstractmethod
    def logits(self, pictures: Tensor) -> Tensor:
        """(N, num_classes) scores of (N, C, canvas, canvas) pictures in [0, 1]."""

    def loss(self, pictures: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Cross-entropy; pictures as for ``logits``, labels (N,)."""
        return dict(loss_cls=F.cross_entropy(self.logits(pictures), labels))

    def forward(self, inputs: Any, mode: str = 'tensor', **targets: Any) -> Any:
        """Scores, losses or predictions.

        Args:
            inputs: (N, C, canvas, canvas) uint8 pictures; for ``predict`` a list of (C, h, w) may have several sizes.
            mode: ``tensor`` for scores, ``loss`` for a dict of losses, ``predict`` for a list of dicts, see
                ``predictions``.
            **targets: ``labels`` and ``sizes`` as ``PicturesAtSizes`` gives them.
        """
        if mode == 'predict':
            return self.predictions(as_arrays(inputs), targets)
        pictures = inputs.float() / 255
        if mode == 'loss':
            return self.loss(pictures, targets['labels'].to(pictures.device))
        if mode == 'tensor':
            return self.logits(pictures)
        raise ValueError(f'{type(self).__name__} has the modes tensor, loss and predict, got {mode!r}')

    def predictions(self, pictures: Sequence[np.ndarray], targets: dict[str, Any]) -> list[dict[str, Any]]:
        """What the metric reads: ``predicted`` and true ``label``, and the ``size`` of the object's picture."""
        labels = self.predict_labels(pictures)
        return [
            dict(predicted=int(label), label=int(targets['labels'][i]), size=int(targets['sizes'][i]))
            for i, label in enumerate(labels)
        ]

    @torch.no_grad()
    def predict_labels(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Classes of pictures of any sizes; the net is in eval mode meanwhile.

        Args:
            images: (H, W) grey or (H, W, 3) BGR uint8 pictures.

        Returns:
            (N,) classes.

        Raises:
            ValueError: If a picture has another number of channels or another dtype.
        """
        pictures = [fit_canvas(picture, self.canvas) for picture in check_pictures(images, self.in_channels)]
        labels = np.zeros(len(pictures), np.int64)
        training, device = self.training, next(self.parameters()).device
        self.eval()
        for numbers, batch in picture_batches(pictures, self.canvas):
            labels[numbers] = self.logits(batch.to(device).float() / 255).argmax(1).cpu().numpy()
        self.train(training)
        return labels


def as_arrays(inputs: Any) -> list[np.ndarray]:
    """(C, h, w) tensors, in a list or stacked, as (h, w, C) arrays."""
    return [picture.cpu().permute(1, 2, 0).contiguous().numpy() for picture in inputs]
