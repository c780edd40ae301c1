"""Masks of several views of an image: small probabilities while the views go by, pasted masks of the merged boxes.

Shape shorthand: N detections of a view, M merged detections, m side of a mask head's output (28), H and W height and
width of the original image.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmisn.structures import Chip, ViewFilter

from .mask_average import average_masks_of_views
from .mask_store import MaskRequest, MaskStore
from .merge import merge_views

# Boxes that go through the mask head together, at least, at 2 to 3 MB each; all, where there are fewer. The kernels of
# much smaller batches may round differently, and masks would not be mmdet's to the last pixel.
_CHUNK = 20


class ViewMasks:
    """Masks for the merged detections of a detector with a mask head.

    Within ``collecting`` the detector pastes no masks. Of a view's detections, those go through the mask head that the
    view's filter keeps and that a merge of this view alone would report; of each the m x m probabilities of its class
    are stored, and ``mask_ids`` (N,) tells which (-1 for none). ``finish`` pastes masks for the merged detections. One
    that its view alone would not have reported (suppression by boxes of other views can help a box) sends its view
    through the detector once more: that is rare, and each mask is that of the view that found the box.

    Args:
        detector: A detector with a mask head, see ``supports``.
        nms: Of ``merge_views``.
        max_per_img: Of ``merge_views``.
        average: Average the probabilities over the views whose range holds the box, see ``average_masks_of_views``.

    Raises:
        ValueError: If the masks of such a detector cannot be merged.
    """

    def __init__(self, detector: nn.Module, nms: dict | None, max_per_img: int, average: bool = False) -> None:
        if not self.supports(detector):
            raise ValueError(
                f'the masks of a {type(detector).__name__} with {type(detector.roi_head).__name__} cannot be merged: '
                'that takes a StandardRoIHead or CascadeRoIHead (or a child with the same predict_mask) with an '
                'FCNMaskHead; for boxes alone set mask_head=None and mask_roi_extractor=None in its roi_head'
            )
        self.roi_head = detector.roi_head
        self.nms = nms
        self.max_per_img = max_per_img
        self.average = average

    @classmethod
    def build(cls, detector: nn.Module, *args: Any, average: bool = False) -> 'ViewMasks | None':
        """Make one for a detector whose RoI head has masks; ``None`` for others.

        Raises:
            ValueError: If the masks cannot be merged, or averages are asked of a detector without masks.
        """
        if getattr(getattr(detector, 'roi_head', None), 'with_mask', False):
            return cls(detector, *args, average=average)
        if average:
            raise ValueError(f'average_masks: {type(detector).__name__} has no roi_head with masks')
        return None

    @staticmethod
    def supports(detector: nn.Module) -> bool:
        """Whether masks are predicted in one of the two ways that are known here."""
        head = detector.roi_head
        known = (StandardRoIHead.predict_mask, CascadeRoIHead.predict_mask)
        return type(head).predict_mask in known and all(isinstance(h, FCNMaskHead) for h in _mask_heads(head))

    @contextmanager
    def collecting(self) -> Iterator[MaskStore]:
        """Within, the detector stores probabilities in place of pasting masks.

        Each data sample needs a ``MaskRequest`` as ``mask_request`` in its meta information.
        """
        store = MaskStore()
        own = self.roi_head.predict_mask

        def predict_mask(x, batch_img_metas, results_list, rescale=False):
            for i, (meta, results) in enumerate(zip(batch_img_metas, results_list)):
                features = tuple(level[i : i + 1] for level in x)
                # CascadeRoIHead would mirror the masks of flipped views, but not their boxes.
                upright = {**meta, 'flip': False}
                self._store_masks(store, meta, results, lambda part, f=features, m=upright: own(f, [m], [part], True))
            return results_list

        replaced = [(self.roi_head, 'predict_mask', predict_mask)]
        replaced += [(h, '_predict_by_feat_single', _probabilities_of(h)) for h in _mask_heads(self.roi_head)]
        for module, name, function in replaced:
            vars(module)[name] = function  # hides the method of the class
        try:
            yield store
        finally:
            for module, name, _ in replaced:
                vars(module).pop(name)

    def _store_masks(
        self, store: MaskStore, meta: dict, results: InstanceData, predict: Callable[[InstanceData], list[InstanceData]]
    ) -> None:
        """Store masks of some detections of a view; boxes are rescaled, as mmdet's mask heads do it."""
        request: MaskRequest = meta['mask_request']
        scale = results.bboxes.new_tensor(meta['scale_factor']).repeat(1, 2)
        boxes_view, results.bboxes = results.bboxes, results.bboxes / scale
        results.mask_ids = torch.full_like(results.labels, -1)
        if request.boxes_view is None:
            rows = self._rows_with_masks(results, request, meta)
            boxes, labels, scores = boxes_view[rows], results.labels[rows], results.scores[rows]
        else:
            boxes, labels, scores = request.boxes_view, request.labels, request.boxes_view.new_ones(len(request.labels))
        probs = []
        for part in _portions(len(labels)):
            found = predict(InstanceData(bboxes=boxes[part], labels=labels[part], scores=scores[part]))
            probs.append(found[0].masks.detach())
        ids = store.add(request, request.chip.rescaled_boxes_to_image(boxes / scale), labels, probs)
        if request.boxes_view is None:
            results.mask_ids[rows] = ids

    def _rows_with_masks(self, results: InstanceData, request: MaskRequest, meta: dict) -> Tensor:
        alone = InstanceData(bboxes=results.bboxes, labels=results.labels, scores=results.scores)
        image_wh = tuple(meta['ori_shape'][1::-1])
        merged = merge_views([(request.chip, alone)], image_wh, request.view_filter, self.nms, self.max_per_img)
        return merged.view_rows.to(results.labels.device).sort().values

    def finish(
        self,
        merged: InstanceData,
        image: int,
        chips: Sequence[Chip],
        filters: Sequence[ViewFilter],
        image_wh: tuple[int, int],
        store: MaskStore,
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
        for view in merged.view_ids[ids < 0].unique().tolist():
            rows = torch.nonzero((ids < 0) & (merged.view_ids == view)).squeeze(1)
            boxes_view = chips[view].boxes_to_view(merged.bboxes[rows]).detach()
            first = len(store.masks_of(image, view).labels)
            detect(MaskRequest(image, view, chips[view], filters[view], boxes_view, merged.labels[rows]))
            ids[rows] = torch.arange(first, first + len(rows), device=ids.device)
        stored = [store.masks_of(image, view) for view in range(len(chips))]
        probs = [stored[view].probs[i] for view, i in zip(merged.view_ids.tolist(), ids.tolist())]
        if self.average and probs:
            probs = average_masks_of_views(torch.stack(probs), merged, stored, chips, filters, image_wh)
        merged.masks = self._paste(probs, merged.bboxes, image_wh)

    def _paste(self, probs: Sequence[Tensor], boxes_xyxy: Tensor, image_wh: tuple[int, int]) -> Tensor:
        test_cfg = self.roi_head.test_cfg
        if len(probs) == 0:
            kind = torch.bool if test_cfg.mask_thr_binary >= 0 else torch.uint8
            return torch.zeros(0, *image_wh[::-1], dtype=kind, device=boxes_xyxy.device)
        head = _mask_heads(self.roi_head)[-1]
        probs = torch.stack(tuple(probs))[:, None]
        meta = dict(ori_shape=image_wh[::-1], scale_factor=(1.0, 1.0))
        first = boxes_xyxy.new_zeros(len(probs), dtype=torch.long)  # the only class of ``probs``
        with warnings.catch_warnings():
            # mmdet copies the probabilities in a way that torch warns of.
            warnings.filterwarnings('ignore', message='To copy construct from a tensor')
            # The class's own: within ``collecting`` the instance's gives probabilities.
            paste = type(head)._predict_by_feat_single
            return paste(head, probs, boxes_xyxy.clone(), first, meta, test_cfg, rescale=True, activate_map=True)


def _portions(number: int) -> list[slice]:
    """Cut ``number`` rows into portions of about equal size, ``_CHUNK`` to less than two of it."""
    count = max(1, number // _CHUNK) if number else 0
    ends = [number * i // count for i in range(count + 1)] if count else []
    return [slice(start, end) for start, end in zip(ends, ends[1:])]


def _mask_heads(roi_head: nn.Module) -> list[nn.Module]:
    heads = roi_head.mask_head
    return list(heads) if isinstance(heads, nn.ModuleList) else [heads]


def _probabilities_of(head: FCNMaskHead) -> Callable[..., Tensor]:
    """A ``_predict_by_feat_single`` that gives (n, m, m) probabilities of each box's class and pastes nothing."""

    def predict(mask_preds, bboxes, labels, img_meta, rcnn_test_cfg, rescale=False, activate_map=False):
        probs = torch.as_tensor(mask_preds, device=bboxes.device) if activate_map else mask_preds.sigmoid()
        of_class = torch.zeros_like(labels) if head.class_agnostic else labels
        return probs[torch.arange(len(probs), device=labels.device), of_class]

    return predict
