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
from .raw_images import raw_pixels, view_range, view_sample
from .scale_maps import ImageScaleMaps, ScaleMatch, equal_size_batches
from .view_packing import Canvas, ViewPacking, colour_of_padding, paint, split_detections
from .wrapped_checkpoint import CompleteLoadMixin, load_pretrained


@MODELS.register_module()
class ChipDetector(CompleteLoadMixin, BaseDetector):
    """Detect on chips of each image, chosen by a generator, and merge the detections (ISN section 3.3.1).

    It takes images of the original resolution: the test pipeline has no ``Resize`` and no flip. Chips are cut from the
    raw image by the function that cuts training chips, then preprocessed by the wrapped detector, so the result equals
    that of ``ScaleRangeTTAModel`` on the same views. To the outside it is a detector like any other: ``DetInferencer``,
    ``init_detector`` and ``mim test`` work on it. Masks of a Mask R-CNN are merged too, see ``ViewMasks``; so are
    keypoints, whose ``flip_indices`` come from the images' meta information or ``dataset_meta``. Checkpoints are those
    of the wrapped detector (or its own). It is for testing alone.

    Generators that look before they cut, ``RecursiveChips`` and ``FocusChips``, ask ``scale_net`` for the scales of
    objects. Its weights come from ``scale_net.init_cfg=dict(type='Pretrained', checkpoint=...)``; with them, the
    detector's plain checkpoint is all that is loaded besides.

    Args:
        detector: The wrapped detector, or its config.
        generator: Config of a chip generator with ``views(image_wh)``, or ``views(image_wh, predict)`` for one that
            looks before it cuts (registry ``TASK_UTILS``), e.g. ``PyramidChips``.
        scale_range: Range of the detections that a view may report. Anything that ``ScaleRange.build`` takes; a list of
            these gives one per view, in the order of the views.
        view_filter: In place of ``scale_range``, a ``ViewFilter`` (or its arguments), or a list with one per view.
        nms: Suppression among the merged detections, see ``merge_views``.
        max_per_img: Detections per image.
        view_test_cfg: Settings of the detector's last stage in each view, see ``open_test_cfg``.
        batch_size: Views of equal size that go through the detector together, at most.
        packing: Arguments of ``ViewPacking``: views are put side by side on canvases, and the detector sees these, one
            at a time. With many small views that takes less time. To the detector a canvas is one image: its views
            share the proposals of one, boxes may reach out of a view before they are cut at its edge, and what is near
            the edge may be seen differently. ``None`` for no packing. Masks cannot be packed.
        interpolation: How chips are resampled, as in ``CropChip``.
        scale_net: A scale net, or its config, for generators that ask for one; it has ``predict_maps``.
        window_filter: What a view may report that is not the whole image but a window of it, or the whole at another
            size than the generator's ``whole_view``: a ``ViewFilter`` or its arguments. ``None`` for the same as all.
        match: Arguments of ``ScaleMatch``, the paper's matching of detections from windows with the predicted scales of
            the whole image; ``None`` for no matching. It needs ``scale_net``.
        average_masks: Average the masks over the views whose range holds the box, see ``average_masks_of_views``.
        data_preprocessor: Must leave images raw; ``RawImagePreprocessor`` by default.
        backbone: Not used and to be left empty. mmdet's ``init_detector`` fails on configs without ``model.backbone``;
            ``backbone=dict()`` is for it.
        init_cfg: Of ``BaseModule``.

    Raises:
        ValueError: If an option is invalid.
    """

    _separate_names = ('scale_net',)

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
        packing: Any = None,
        interpolation: str = 'bilinear',
        scale_net: dict | nn.Module | None = None,
        window_filter: Any = None,
        match: Any = None,
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
        self._build_scale_net(scale_net, window_filter, match)
        levels = getattr(self.generator, 'levels', None)
        if levels is not None and isinstance(self.view_filters, ViewFilter):
            check_level_gaps(levels, [self.view_filters.scale_range] * len(levels))
        self.nms = nms if nms is None else dict(nms)
        self.max_per_img = max_per_img
        self.batch_size = batch_size
        self.interpolation = interpolation
        open_test_cfg(self.detector, view_test_cfg)
        # Matching takes detections out between the views and the merge.
        at_once = self.match is not None
        self.view_masks = ViewMasks.build(self.detector, self.nms, max_per_img, average=average_masks, at_once=at_once)
        self.packing = ViewPacking.build(packing)
        if self.packing is not None and self.view_masks is not None:
            raise ValueError(f'packing={packing!r} is for boxes and keypoints; leave it out for a detector with masks')
        self._watch_loading()

    def _build_scale_net(self, scale_net: dict | nn.Module | None, window_filter: Any, match: Any) -> None:
        needed = getattr(self.generator, 'uses_scale_net', False)
        if needed != (scale_net is not None):
            kind = type(self.generator).__name__
            raise ValueError(
                f'{kind} looks at images before it cuts and needs ChipDetector.scale_net'
                if needed
                else f'ChipDetector.scale_net has no effect: {kind} does not ask for scales'
            )
        self.scale_net = MODELS.build(copy.deepcopy(scale_net)) if isinstance(scale_net, dict) else scale_net
        # Before a checkpoint is loaded, or where none is.
        self._scale_net_is_loaded = False
        if needed and hasattr(self.generator, 'read_scale_net'):
            self.generator.read_scale_net(self.scale_net)
        self.match = ScaleMatch.build(match)
        if self.match is not None and not needed:
            raise ValueError(f'ChipDetector.match compares with predicted scales and needs a scale_net, got {match!r}')
        self.window_filter = None if window_filter is None else ViewFilter.build(window_filter)
        if self.window_filter is not None and not isinstance(self.view_filters, ViewFilter):
            raise ValueError('ChipDetector.window_filter needs one scale_range or view_filter, not a list per view')

    def predict(
        self, batch_inputs: Sequence[Tensor], batch_data_samples: Sequence[DetDataSample], rescale: bool = True
    ) -> list[DetDataSample]:
        """Detect objects.

        Args:
            batch_inputs: Raw images, (C, H, W) uint8 each, of any sizes.
            batch_data_samples: Their data samples; they are not changed.
            rescale: Without effect: image and original are the same here.

        Returns:
            Copies of the data samples with ``pred_instances`` and, in the meta information, ``chips``, the views,
            ``chips_are_windows``, for each whether it is a window and no plain view of the whole image, ``num_views``
            and ``view_pixels``, the pixels that the detector has looked at (those between views on a canvas counted,
            padding not), and, with a scale net, ``scale_net_pixels``, those that it has looked at.

        Raises:
            ValueError: If an image is not raw: resized, flipped, or not uint8; or a scale map is bad, see
                ``check_scale_map``.
        """
        return [self._predict_image(image, sample) for image, sample in zip(batch_inputs, batch_data_samples)]

    def _predict_image(self, image: Tensor, sample: DetDataSample) -> DetDataSample:
        pixels = raw_pixels(image, sample)
        image_wh = (pixels.shape[1], pixels.shape[0])
        chips, maps = self._views(pixels, str(sample.get('img_path') or f'image {sample.get("img_id", "?")}'))
        windows = self._are_windows(chips, image_wh)
        filters = self._filters(windows)
        requests = [MaskRequest(0, view, chip, rule) for view, (chip, rule) in enumerate(zip(chips, filters))]
        result = sample.clone()
        canvases = self._canvases(requests)
        pixels_seen = sum(canvas.num_pixels for canvas in canvases)
        seen = dict(num_views=len(chips), view_pixels=pixels_seen, chips=chips, chips_are_windows=windows)
        result.set_metainfo(seen)
        if maps is not None:
            result.set_metainfo(dict(scale_net_pixels=maps.num_pixels))
        with nullcontext() if self.view_masks is None else self.view_masks.collecting() as store:
            detections = self._detect(pixels, requests, canvases, sample.metainfo)
            merged = merge_views(
                list(zip(chips, self._matching(detections, chips, windows, maps))),
                image_wh,
                filters,
                self.nms,
                self.max_per_img,
                self._flip_indices(sample.metainfo),
            )
            if store is not None:
                self.view_masks.finish(
                    merged,
                    0,
                    chips,
                    filters,
                    image_wh,
                    store,
                    lambda r: self._detect(pixels, [r], self._canvases([r]), sample.metainfo),
                )
        result.pred_instances = merged
        return result

    def _views(self, pixels: np.ndarray, name: str) -> tuple[list[Chip], ImageScaleMaps | None]:
        """The generator's chips, and what the scale net has told it."""
        image_wh = (pixels.shape[1], pixels.shape[0])
        if self.scale_net is None:
            return list(self.generator.views(image_wh)), None
        if not self._scale_net_is_loaded:
            load_pretrained(self.scale_net, 'scale_net')
            self._scale_net_is_loaded = True
        maps = ImageScaleMaps(self.scale_net, pixels, self.batch_size, self.interpolation, name)
        return list(self.generator.views(image_wh, maps)), maps

    def _are_windows(self, chips: Sequence[Chip], image_wh: tuple[int, int]) -> list[bool]:
        """Which views are not the plain view of the whole image."""
        whole_view = getattr(self.generator, 'whole_view', None)
        whole = None if whole_view is None else whole_view(image_wh)
        return [c.xyxy != (0, 0, *image_wh) or whole not in (None, c.flipped(False)) for c in chips]

    def _filters(self, windows: Sequence[bool]) -> list[ViewFilter]:
        filters = filters_of_views(self.view_filters, len(windows))
        if self.window_filter is None:
            return filters
        return [self.window_filter if window else rule for window, rule in zip(windows, filters)]

    def _matching(
        self,
        detections: list[InstanceData],
        chips: Sequence[Chip],
        windows: Sequence[bool],
        maps: ImageScaleMaps | None,
    ) -> list[InstanceData]:
        """Detections without those of windows that do not agree with the predicted scales."""
        if self.match is None or maps.whole is None:
            return detections
        matching = []
        for found, chip, window in zip(detections, chips, windows):
            if window:
                boxes = chip.rescaled_boxes_to_image(found.bboxes)
                found = found[self.match.agrees(boxes, *maps.whole, self.scale_net)]
            matching.append(found)
        return matching

    def _flip_indices(self, metainfo: dict) -> Sequence[int] | None:
        of_dataset = getattr(self, 'dataset_meta', None) or {}
        return metainfo.get('flip_indices', of_dataset.get('flip_indices'))

    def _canvases(self, requests: list[MaskRequest]) -> list[Canvas]:
        """What the detector will see: views on canvases, each alone without packing."""
        chips = [request.chip for request in requests]
        if self.packing is None:
            return [Canvas(chip.size_wh, ((i, 0, 0),)) for i, chip in enumerate(chips)]
        # A canvas has one scale range, for proposals.
        by_range: dict[tuple[float, float], list[int]] = {}
        for i, request in enumerate(requests):
            by_range.setdefault(view_range(request), []).append(i)
        canvases = []
        for group in by_range.values():
            for canvas in self.packing.pack([chips[i].size_wh for i in group]):
                canvases.append(Canvas(canvas.size_wh, tuple((group[i], x, y) for i, x, y in canvas.places)))
        return canvases

    def _detect(
        self, pixels: np.ndarray, requests: list[MaskRequest], canvases: list[Canvas], metainfo: dict
    ) -> list[InstanceData]:
        """Detections of each view, in the order of the requests and as the detector returns them."""
        detections: list[Any] = [None] * len(requests)
        alone = []
        for canvas in canvases:
            if len(canvas.places) == 1:
                alone.append(canvas.places[0][0])
            else:
                for (i, _, _), found in zip(canvas.places, self._detect_on_canvas(pixels, canvas, requests, metainfo)):
                    detections[i] = found
        for batch in equal_size_batches([requests[i].chip for i in alone], self.batch_size):
            # Only now are the pixels cut, so that one batch of views is in memory at a time.
            batch = [alone[k] for k in batch]
            inputs = [_as_input(crop_resample(pixels, requests[i].chip, self.interpolation)) for i in batch]
            samples = [view_sample(metainfo, pixels.shape[:2], requests[i]) for i in batch]
            if self.view_masks is not None:
                for i, sample in zip(batch, samples):
                    sample.set_metainfo(dict(mask_request=requests[i]))
            for i, output in zip(batch, self.detector.test_step(dict(inputs=inputs, data_samples=samples))):
                detections[i] = output.pred_instances
        return detections

    def _detect_on_canvas(
        self, pixels: np.ndarray, canvas: Canvas, requests: list[MaskRequest], metainfo: dict
    ) -> list[InstanceData]:
        chips = [requests[i].chip for i, _, _ in canvas.places]
        views = [crop_resample(pixels, chip, self.interpolation) for chip in chips]
        image = paint(canvas, views, colour_of_padding(self.detector.data_preprocessor))
        shape = canvas.size_wh[::-1]
        canvas_meta = dict(ori_shape=shape, img_shape=shape, scale_factor=(1.0, 1.0), flip=False, flip_direction=None)
        canvas_meta['scale_range'] = view_range(requests[canvas.places[0][0]])
        sample = DetDataSample(metainfo={**metainfo, **canvas_meta})
        (output,) = self.detector.test_step(dict(inputs=[_as_input(image)], data_samples=[sample]))
        parts = split_detections(canvas, output.pred_instances, [chip.size_wh for chip in chips])
        for found, chip in zip(parts, chips):
            factors = found.bboxes.new_tensor(chip.factors)
            found.bboxes = found.bboxes / factors.repeat(2)
            if 'keypoints' in found:
                found.keypoints = found.keypoints / factors
        return parts

    def _load_from_state_dict(self, *args, **kwargs) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        # Either the checkpoint has the scale net's weights, or they come from its own, or loading fails.
        self._scale_net_is_loaded = True

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


def _as_input(view: np.ndarray) -> Tensor:
    """(h, w, C) array as a (C, h, w) tensor."""
    return torch.from_numpy(np.ascontiguousarray(view.transpose(2, 0, 1)))
