"""A detector that looks at chips of an image and merges what it sees."""

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from mmdet.models.detectors import BaseDetector
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import DetDataSample
from mmengine.model import BaseDataPreprocessor
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmisn.chips import check_level_gaps
from mmisn.structures import INTERPOLATIONS, Chip, ViewFilter, crop_resample

from ..test_time_augs import (
    DEFAULT_NMS,
    OPEN_TEST_CFG,
    MaskRequest,
    ViewMasks,
    build_view_filters,
    check_merge_options,
    filters_of_views,
    merge_views,
    open_test_cfg,
)
from .wrapped_checkpoint import CompleteLoadMixin


@MODELS.register_module()
class RawImagePreprocessor(BaseDataPreprocessor):
    """Pass images on as they are: chips are cut on the CPU, and each view then goes through the detector's own."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return ``data`` unchanged, with ``data_samples`` set to ``None`` where there are none."""
        return dict(inputs=data['inputs'], data_samples=data.get('data_samples'))


@MODELS.register_module()
class ChipDetector(CompleteLoadMixin, BaseDetector):
    """Detect on chips of each image, chosen by a generator, and merge the detections (ISN section 3.3.1).

    It takes images of the original resolution: the test pipeline has no ``Resize`` and no flip. Chips are cut from the
    raw image by the function that cuts training chips, then preprocessed by the wrapped detector, so the result equals
    that of ``ScaleRangeTTAModel`` on the same views. To the outside it is a detector like any other: ``DetInferencer``,
    ``init_detector`` and ``mim test`` work on it. Masks of a Mask R-CNN are merged too, see ``ViewMasks``; so are
    keypoints, whose ``flip_indices`` come from the images' meta information or ``dataset_meta``. Checkpoints are those
    of the wrapped detector (or its own). It is for testing alone.

    Args:
        detector: The wrapped detector, or its config.
        generator: Config of a chip generator with ``views(image_wh)`` (registry ``TASK_UTILS``), e.g. ``PyramidChips``.
        scale_range: Range of the detections that a view may report. Anything that ``ScaleRange.build`` takes; a list of
            these gives one per view, in the order of the views.
        view_filter: In place of ``scale_range``, a ``ViewFilter`` (or its arguments), or a list with one per view.
        nms: Suppression among the merged detections, see ``merge_views``.
        max_per_img: Detections per image.
        view_test_cfg: Settings of the detector's last stage in each view, see ``open_test_cfg``.
        batch_size: Views of equal size that go through the detector together, at most.
        interpolation: How chips are resampled, as in ``CropChip``.
        average_masks: Average the masks over the views whose range holds the box, see ``average_masks_of_views``.
        data_preprocessor: Must leave images raw; ``RawImagePreprocessor`` by default.
        backbone: Not used and to be left empty. mmdet's ``init_detector`` fails on configs without ``model.backbone``;
            ``backbone=dict()`` is for it.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If an option is invalid.
    """

    def __init__(
        self,
        detector: dict | nn.Module,
        generator: dict | Any,
        scale_range: Any = None,
        view_filter: Any = None,
        nms: dict | None = DEFAULT_NMS,
        max_per_img: int = 100,
        view_test_cfg: dict | None = OPEN_TEST_CFG,
        batch_size: int = 1,
        interpolation: str = 'bilinear',
        average_masks: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
        backbone: dict | None = None,
        init_cfg: dict | None = None,
    ) -> None:
        check_merge_options(nms, max_per_img)
        if not batch_size >= 1:
            raise ValueError(f'ChipDetector.batch_size must be at least 1, got {batch_size}')
        if interpolation not in INTERPOLATIONS:
            raise ValueError(
                f'ChipDetector.interpolation must be one of {sorted(INTERPOLATIONS)}, got {interpolation!r}'
            )
        if backbone:
            raise ValueError(f'ChipDetector.backbone must be empty, got {backbone}; the backbone belongs in detector')
        super().__init__(data_preprocessor or dict(type='RawImagePreprocessor'), init_cfg)
        self.detector = detector if isinstance(detector, nn.Module) else MODELS.build(copy.deepcopy(detector))
        self.generator = TASK_UTILS.build(generator) if isinstance(generator, dict) else generator
        self.view_filters = build_view_filters(scale_range, view_filter)
        levels = getattr(self.generator, 'levels', None)
        if levels is not None and isinstance(self.view_filters, ViewFilter):
            check_level_gaps(levels, [self.view_filters.scale_range] * len(levels))
        self.nms = nms if nms is None else dict(nms)
        self.max_per_img = max_per_img
        self.batch_size = batch_size
        self.interpolation = interpolation
        open_test_cfg(self.detector, view_test_cfg)
        self.view_masks = ViewMasks.build(self.detector, self.nms, max_per_img, average=average_masks)
        self._watch_loading()

    def predict(
        self, batch_inputs: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect objects.

        Args:
            batch_inputs: Raw images, (C, H, W) uint8 each, of any sizes.
            batch_data_samples: Their data samples; they are not changed.
            rescale: Without effect: image and original are the same here.

        Returns:
            Copies of the data samples with ``pred_instances`` and, in the meta information, ``num_views`` and
            ``view_pixels``, the pixels that the detector has looked at (padding not counted).

        Raises:
            ValueError: If an image is not raw: resized, flipped, or not uint8.
        """
        return [self._predict_image(image, sample) for image, sample in zip(batch_inputs, batch_data_samples)]

    def _predict_image(self, image: Tensor, sample: DetDataSample) -> DetDataSample:
        pixels = _raw_pixels(image, sample)
        image_wh = (pixels.shape[1], pixels.shape[0])
        chips = list(self.generator.views(image_wh))
        filters = filters_of_views(self.view_filters, len(chips))
        requests = [MaskRequest(0, view, chip, rule) for view, (chip, rule) in enumerate(zip(chips, filters))]
        result = sample.clone()
        result.set_metainfo(dict(num_views=len(chips), view_pixels=sum(c.num_pixels for c in chips)))
        with nullcontext() if self.view_masks is None else self.view_masks.collecting() as store:
            detections = self._detect(pixels, requests, sample.metainfo)
            merged = merge_views(
                list(zip(chips, detections)),
                image_wh,
                filters,
                self.nms,
                self.max_per_img,
                self._flip_indices(sample.metainfo),
            )
            if store is not None:
                self.view_masks.finish(
                    merged, 0, chips, filters, image_wh, store, lambda r: self._detect(pixels, [r], sample.metainfo)
                )
        result.pred_instances = merged
        return result

    def _flip_indices(self, metainfo: dict) -> Sequence[int] | None:
        of_dataset = getattr(self, 'dataset_meta', None) or {}
        return metainfo.get('flip_indices', of_dataset.get('flip_indices'))

    def _detect(self, pixels: np.ndarray, requests: list[MaskRequest], metainfo: dict) -> list[InstanceData]:
        """Detections of each view, in the order of the requests and as the detector returns them."""
        detections = [None] * len(requests)
        for batch in equal_size_batches([r.chip for r in requests], self.batch_size):
            # Only now are the pixels cut, so that one batch of views is in memory at a time.
            views = [crop_resample(pixels, requests[i].chip, self.interpolation) for i in batch]
            inputs = [torch.from_numpy(np.ascontiguousarray(v.transpose(2, 0, 1))) for v in views]
            samples = [_view_sample(metainfo, pixels.shape[:2], requests[i]) for i in batch]
            if self.view_masks is not None:
                for i, sample in zip(batch, samples):
                    sample.set_metainfo(dict(mask_request=requests[i]))
            for i, output in zip(batch, self.detector.test_step(dict(inputs=inputs, data_samples=samples))):
                detections[i] = output.pred_instances
        return detections

    def loss(self, batch_inputs, batch_data_samples):
        """Not implemented: train the wrapped detector."""
        raise NotImplementedError(
            'a ChipDetector is for testing; train the detector that it wraps and load its weights'
        )

    def _forward(self, batch_inputs, batch_data_samples=None):
        raise NotImplementedError('a ChipDetector has no raw output; call the detector that it wraps')

    def extract_feat(self, batch_inputs):
        """Not implemented: views of an image have no common features."""
        raise NotImplementedError('a ChipDetector has no features of its own; call the detector that it wraps')


def equal_size_batches(chips: Sequence[Chip], batch_size: int) -> list[list[int]]:
    """Group the indices of views of equal size, so that no view is padded for another's sake.

    Returns:
        Lists of at most ``batch_size`` indices, sizes in order of first appearance.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for i, chip in enumerate(chips):
        by_size.setdefault(chip.size_wh, []).append(i)
    return [group[i : i + batch_size] for group in by_size.values() for i in range(0, len(group), batch_size)]


def _raw_pixels(image: Tensor, sample: DetDataSample) -> np.ndarray:
    """The image as an (H, W, C) uint8 array, if it is the original one."""
    shape = tuple(image.shape[-2:])
    original = tuple(sample.ori_shape[:2])
    if shape != original or tuple(sample.get('img_shape', original)[:2]) != original or sample.get('flip', False):
        raise ValueError(
            f'ChipDetector needs the original image, {original[1]}x{original[0]} px, but got {shape[1]}x{shape[0]} px '
            f'(flip: {sample.get("flip", False)}); take Resize, Pad and RandomFlip out of the test pipeline'
        )
    if image.dtype != torch.uint8:
        raise ValueError(
            f'ChipDetector cuts chips from raw uint8 images, got {image.dtype}; the data_preprocessor belongs in '
            'detector'
        )
    return image.permute(1, 2, 0).cpu().numpy()


def _view_sample(metainfo: dict, ori_shape: tuple[int, int], request: MaskRequest) -> DetDataSample:
    chip = request.chip
    view_range = request.view_filter.scale_range.in_view(chip)
    shown = dict(
        ori_shape=ori_shape,
        img_shape=chip.size_wh[::-1],
        scale_factor=chip.factors,
        flip=chip.flip,
        flip_direction='horizontal' if chip.flip else None,
        chip=chip,
        scale_range=(view_range.lower, view_range.upper),
    )
    return DetDataSample(metainfo={**metainfo, **shown})
