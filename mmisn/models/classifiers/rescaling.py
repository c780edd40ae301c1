"""A classifier behind ScaleNet: pictures are rescaled, recursively, before it sees them."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from torch import nn

from mmisn.chips.pixel_rules import build_pixel_rule, top_k
from mmisn.chips.rescale import RescalePath, rescale_recursively, resize_picture
from mmisn.structures import Chip

from ..detectors.wrapped_checkpoint import CompleteLoadMixin, load_pretrained
from .picture_classifier import as_arrays


@MODELS.register_module()
class RescalingClassifier(CompleteLoadMixin, BaseModel):
    """Rescale each picture until ScaleNet finds it in range, then classify it (Recursive-ScaleNet on MNIST, CIFAR-10).

    It is for testing alone and takes the plain checkpoint of the classifier (or its own). Pixels are always cut from
    the picture as it came, resampled by the product of the factors.

    Args:
        classifier: The pretrained classifier, or its config: a ``PictureClassifier``.
        scale_net: A net with ``predict_maps``, or its config; its weights come from
            ``init_cfg=dict(type='Pretrained', checkpoint=...)``.
        rule: Config of a ``RegressionRule`` or ``ClassRule``: when is a picture in range, and by what is it rescaled.
        max_rescales: Bound of the recursion; 1 for rescaling once, 0 for the classifier alone.
        side_range: Smallest and largest side of a rescaled picture, pixels.
        data_preprocessor: Config; by default data are moved to the model's device and nothing else.
        init_cfg: Of ``BaseModule``.
    """

    _wrapped_name = 'classifier'
    _separate_names = ('scale_net',)

    def __init__(
        self,
        classifier: dict | nn.Module,
        scale_net: dict | nn.Module,
        rule: dict,
        max_rescales: int = 30,
        side_range: tuple[int, int] = (4, 512),
        data_preprocessor: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        parts = [MODELS.build(copy.deepcopy(p)) if isinstance(p, dict) else p for p in (classifier, scale_net)]
        self.classifier, self.scale_net = parts
        self.rule, self.max_rescales, self.side_range = build_pixel_rule(rule), max_rescales, tuple(side_range)
        self._watch_loading()

    def load_scale_net(self) -> None:
        """Load the scale net from the checkpoint that its ``init_cfg`` names, without a checkpoint of the whole."""
        load_pretrained(self.scale_net, 'scale_net')

    def forward(self, inputs: Any, mode: str = 'predict', **targets: Any) -> list[dict[str, Any]]:
        """Predictions.

        Args:
            inputs: (C, h, w) uint8 pictures of any sizes, in a list or stacked.
            mode: ``predict`` alone: classifier and scale net are trained by configs of their own.
            **targets: ``labels`` and ``sizes`` as ``PicturesAtSizes`` gives them.

        Returns:
            Per picture what ``PictureClassifier`` predicts, what it would have ``predicted_once`` (after one rescale at
            most, the paper's rescaling once), and ``rescales``, whether the recursion ``ended`` in range
            and the ``pixels`` of the scale net's views, those of its canvas around smaller ones counted (a net may
            compute fewer: see ``SimpleScaleNet.predict_maps``).
        """
        if mode != 'predict':
            raise ValueError(f'RescalingClassifier only predicts, got mode={mode!r}; train its parts by themselves')
        pictures = as_arrays(inputs)
        paths = self.rescale(pictures)
        views = [resize_picture(picture, path.chips[-1].size_wh) for picture, path in zip(pictures, paths)]
        results = self.classifier.predictions(views, targets)
        once = self._predicted_once(pictures, paths, results)
        for result, path, predicted_once in zip(results, paths, once):
            pixels = sum(math.prod(self._computed_wh(chip.size_wh)) for chip in path.chips)
            result.update(rescales=path.rescales, ended=path.ended, pixels=pixels, predicted_once=predicted_once)
        return results

    def _predicted_once(
        self, pictures: Sequence[np.ndarray], paths: Sequence[RescalePath], results: Sequence[dict[str, Any]]
    ) -> list[int]:
        """Classes of the pictures had they been rescaled once at most."""
        classes = [result['predicted'] for result in results]
        further = [i for i, path in enumerate(paths) if path.rescales > 1]
        if further:
            views = [resize_picture(pictures[i], paths[i].chips[1].size_wh) for i in further]
            for i, label in zip(further, self.classifier.predict_labels(views)):
                classes[i] = int(label)
        return classes

    def _computed_wh(self, size_wh: tuple[int, int]) -> tuple[int, int]:
        computed_wh = getattr(self.scale_net, 'computed_wh', None)
        return size_wh if computed_wh is None else computed_wh(size_wh)

    def rescale(self, pictures: Sequence[np.ndarray]) -> list[RescalePath]:
        """What the recursion makes of (H, W) or (H, W, C) uint8 pictures."""

        def predict(numbers: Sequence[int], chips: Sequence[Chip]) -> list[np.ndarray]:
            return self.scale_net.predict_maps([resize_picture(pictures[n], c.size_wh) for n, c in zip(numbers, chips)])

        sizes_wh = [(picture.shape[1], picture.shape[0]) for picture in pictures]
        return rescale_recursively(sizes_wh, predict, self.rule, self.max_rescales, self.side_range)


def recursion_steps(
    model: RescalingClassifier, picture: np.ndarray
) -> list[tuple[np.ndarray, np.ndarray, float | None, int]]:
    """Views, scale maps, Top-K and the classifier's answers along the recursion of one picture.

    Args:
        model: Its rule is a ``RegressionRule``.
        picture: (H, W) or (H, W, C) uint8.

    Returns:
        Per view the picture, its (h, w) map, Top-K over the pixels of the object (``None`` where there are none) and
        the class.
    """
    (path,) = model.rescale([picture])
    views = [resize_picture(picture, chip.size_wh) for chip in path.chips]
    steps = []
    for view, scale_map, label in zip(
        views, model.scale_net.predict_maps(views), model.classifier.predict_labels(views)
    ):
        values = scale_map[scale_map > model.rule.background]
        steps.append((view, scale_map, top_k(values, model.rule.top_k) if values.size else None, int(label)))
    return steps
