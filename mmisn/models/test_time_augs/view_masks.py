"""Masks of several views of an image: small features while the views go by, pasted masks of the merged boxes.

Shape shorthand: N detections of a view, M merged detections, m side of a mask head's output (28), H and W height and
width of the original image.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmisn.structures import Chip, ViewFilter

from .mask_average import average_masks_of_views
from .mask_features import LeadingFeatures
from .mask_parts import MaskParts, portions
from .mask_store import MaskRequest, MaskStore
from .merge import merge_views


class ViewMasks:
    """Masks for the merged detections of a detector with a mask head.

    Within ``collecting`` the detector pastes no masks, and its detections have ``mask_ids`` (N,) in their place. Of
    each image, those that lead among the views seen so far keep the features that the mask head takes, see
    ``LeadingFeatures``. ``finish`` sends those of the merged detections through the mask head and pastes the masks.
    For one whose features are gone (suppression by boxes of other views can help a box) its view goes through the
    detector once more: that is rare, and each mask is that of the view that found the box.

    Averaging needs masks of all views. Then, or with ``at_once``, those detections of a view go through the mask head
    right away that the view's filter keeps and that a merge of this view alone would report; of each the m x m
    probabilities of its class are stored, and ``mask_ids`` tells which (-1 for none).

    Args:
        detector: A detector with a mask head, see ``supports``.
        nms: Of ``merge_views``.
        max_per_img: Of ``merge_views``.
        average: Average the probabilities over the views whose range holds the box, see ``average_masks_of_views``.
        at_once: Compute masks view by view, for callers that drop detections of views by a rule not in their filters.

    Raises:
        ValueError: If the masks of such a detector cannot be merged.
    """

    def __init__(
        self, detector: nn.Module, nms: dict | None, max_per_img: int, average: bool = False, at_once: bool = False
    ) -> None:
        if not self.supports(detector):
            raise ValueError(
                f'the masks of a {type(detector).__name__} with {type(detector.roi_head).__name__} cannot be merged: '
                'that takes a StandardRoIHead or CascadeRoIHead (or a child with the same predict_mask and '
                '_mask_forward) with an FCNMaskHead; for boxes alone set mask_head=None and mask_roi_extractor=None in '
                'its roi_head'
            )
        self.roi_head = detector.roi_head
        self.parts = MaskParts(detector.roi_head)
        self.nms = nms
        self.max_per_img = max_per_img
        self.average = average
        self.at_once = at_once or average

    @classmethod
    def build(cls, detector: nn.Module, *args: Any, average: bool = False, **kwargs: Any) -> 'ViewMasks | None':
        """Make one for a detector whose RoI head has masks; ``None`` for others.

        Raises:
            ValueError: If the masks cannot be merged, or averages are asked of a detector without masks.
        """
        if getattr(getattr(detector, 'roi_head', None), 'with_mask', False):
            return cls(detector, *args, average=average, **kwargs)
        if average:
            raise ValueError(f'average_masks: {type(detector).__name__} has no roi_head with masks')
        return None

    @staticmethod
    def supports(detector: nn.Module) -> bool:
        """Whether masks are predicted in one of the two ways that are known here."""
        return MaskParts.supports(detector.roi_head)

    @contextmanager
    def collecting(self) -> Iterator[MaskStore | LeadingFeatures]:
        """Within, the detector stores features or probabilities in place of pasting masks.

        Each data sample needs a ``MaskRequest`` as ``mask_request`` in its meta information.
        """
        store = MaskStore() if self.at_once else LeadingFeatures(self.nms, self.max_per_img)
        take = self._store_masks if self.at_once else self._store_features

        def predict_mask(x, batch_img_metas, results_list, rescale=False):
            for i, (meta, results) in enumerate(zip(batch_img_metas, results_list)):
                take(store, tuple(level[i : i + 1] for level in x), meta, results)
            return results_list

        vars(self.roi_head)['predict_mask'] = predict_mask  # hides the method of the class
        try:
            yield store
        finally:
            vars(self.roi_head).pop('predict_mask')

    def _store_features(self, store: LeadingFeatures, x: tuple[Tensor, ...], meta: dict, results: InstanceData) -> None:
        """Keep features of the leading detections; boxes are rescaled, as mmdet's mask heads do it."""
        request: MaskRequest = meta['mask_request']
        boxes_view, results.bboxes = results.bboxes, results.bboxes / _scale(results, meta)
        results.mask_ids = torch.arange(len(results), device=results.labels.device)
        if request.boxes_view is not None:
            store.put(request, request.rows, lambda _: self.parts.features(x, request.boxes_view))
        else:
            image_wh = tuple(meta['ori_shape'][1::-1])
            store.add(request, _alone(results), image_wh, lambda rows: self.parts.features(x, boxes_view[rows]))

    def _store_masks(self, store: MaskStore, x: tuple[Tensor, ...], meta: dict, results: InstanceData) -> None:
        """Store masks of some detections of a view; boxes are rescaled, as mmdet's mask heads do it."""
        request: MaskRequest = meta['mask_request']
        scale = _scale(results, meta)
        boxes_view, results.bboxes = results.bboxes, results.bboxes / scale
        results.mask_ids = torch.full_like(results.labels, -1)
        boxes, labels = request.boxes_view, request.labels
        if boxes is None:
            rows = self._rows_with_masks(results, request, meta)
            boxes, labels = boxes_view[rows], results.labels[rows]
        probs = [
            self.parts.probabilities(self.parts.features(x, boxes[part]), labels[part])
            for part in portions(len(labels))
        ]
        ids = store.add(request, request.chip.rescaled_boxes_to_image(boxes / scale), labels, probs)
        if request.boxes_view is None:
            results.mask_ids[rows] = ids

    def _rows_with_masks(self, results: InstanceData, request: MaskRequest, meta: dict) -> Tensor:
        image_wh = tuple(meta['ori_shape'][1::-1])
        views = [(request.chip, _alone(results))]
        merged = merge_views(views, image_wh, request.view_filter, self.nms, self.max_per_img)
        return merged.view_rows.to(results.labels.device).sort().values

    def finish(
        self,
        merged: InstanceData,
        image: int,
        chips: Sequence[Chip],
        filters: Sequence[ViewFilter],
        image_wh: tuple[int, int],
        store: MaskStore | LeadingFeatures,
        detect: Callable[[MaskRequest], Any],
    ) -> None:
        """Put pasted ``masks`` (M, H, W) in the place of ``mask_ids``, in place.

        Args:
            merged: What ``merge_views`` returned.
            image: Number of the image in the requests.
            chips: Of the views.
            filters: One per view.
            image_wh: Width and height of the original image.
            store: What ``collecting`` gave, still within it.
            detect: Sends the request's view of the image through the detector.
        """
        ids = merged.pop('mask_ids', merged.labels)

        def ask(view: int, numbers: Sequence[int]) -> None:
            boxes_view = chips[view].boxes_to_view(merged.bboxes[numbers]).detach()
            wanted = boxes_view, merged.labels[numbers], ids[numbers].tolist()
            detect(MaskRequest(image, view, chips[view], filters[view], *wanted))

        if self.at_once:
            probs, stored = self._merged_masks(merged, image, ids, len(chips), store, ask)
            if self.average and len(probs):
                probs = average_masks_of_views(probs, merged, stored, chips, filters, image_wh)
        else:
            probs = self._masks_of_features(merged, image, ids, chips, store, ask)
        merged.masks = self.parts.paste(probs, merged.bboxes, image_wh)

    def _masks_of_features(
        self,
        merged: InstanceData,
        image: int,
        ids: Tensor,
        chips: Sequence[Chip],
        store: LeadingFeatures,
        ask: Callable,
    ) -> Tensor:
        """(M, m, m) probabilities of the merged detections."""
        places = list(zip(merged.view_ids.tolist(), ids.tolist()))
        for view, numbers in store.missing(image, places).items():
            ask(view, numbers)
        if not places:
            return ids.new_zeros(0)
        probs = self.parts.probabilities(store.of(image, places), merged.labels)
        flipped = torch.tensor([chips[view].flip for view, _ in places], device=probs.device)
        return torch.where(flipped[:, None, None], probs.flip(-1), probs)

    @staticmethod
    def _merged_masks(
        merged: InstanceData, image: int, ids: Tensor, num_views: int, store: MaskStore, ask: Callable
    ) -> tuple[Tensor, list]:
        """(M, m, m) probabilities of the merged detections, and per view those of all its detections that have some."""
        for view in merged.view_ids[ids < 0].unique().tolist():
            numbers = torch.nonzero((ids < 0) & (merged.view_ids == view)).squeeze(1)
            first = len(store.masks_of(image, view).labels)
            ask(view, numbers)
            ids[numbers] = torch.arange(first, first + len(numbers), device=ids.device)
        stored = [store.masks_of(image, view) for view in range(num_views)]
        probs = [stored[view].probs[i] for view, i in zip(merged.view_ids.tolist(), ids.tolist())]
        return torch.stack(probs) if probs else ids.new_zeros(0), stored


def _scale(results: InstanceData, meta: dict) -> Tensor:
    """(1, 4) view pixels per pixel of the chip."""
    return results.bboxes.new_tensor(meta['scale_factor']).repeat(1, 2)


def _alone(results: InstanceData) -> InstanceData:
    """What of detections decides about suppression."""
    return InstanceData(bboxes=results.bboxes, labels=results.labels, scores=results.scores)
