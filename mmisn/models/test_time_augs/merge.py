"""The one merge of the detections of several views (ISN section 3.3.1).

``ScaleRangeTTAModel`` and ``ChipDetector`` both use it.

Shape shorthand: V views, N detections of a view, M merged detections, H and W height and width of the original image.
"""

from collections.abc import Sequence
from types import MappingProxyType

import torch
from mmcv.ops import batched_nms
from mmengine.structures import InstanceData
from torch import Tensor

from mmisn.structures import Chip, ViewFilter

from .soft_nms import check_soft_nms_options, soft_nms_per_class
from .views import filters_of_views

DEFAULT_NMS = MappingProxyType(dict(type='soft_nms', method='gaussian', sigma=0.5, min_score=1e-3))
"""Gaussian Soft-NMS with the sigma of its paper: ISN (section 4.1) says Soft-NMS and cites that paper alone."""

# Pasted masks of all candidates of a view would fill the memory; ``ViewMasks`` keeps a few small ones in their place.
_PLACE_FIELDS = ('masks',)
_SOFT_NMS_OPTIONS = {'type', 'method', 'sigma', 'min_score', 'iou_threshold'}

View = tuple[Chip, InstanceData]


def check_merge_options(nms: dict | None, max_per_img: int) -> None:
    """Check what ``merge_views`` is told.

    Raises:
        ValueError: If the NMS type or an option of ``soft_nms`` is unknown or out of its domain, or ``max_per_img`` is
            below 1.
    """
    if not max_per_img >= 1:
        raise ValueError(f'max_per_img must be at least 1, got {max_per_img}')
    if nms is None:
        return
    kind = nms.get('type')
    if kind == 'nms':
        if 'iou_threshold' not in nms:
            raise ValueError(f"nms of type 'nms' needs an iou_threshold, got {dict(nms)}")
    elif kind == 'soft_nms':
        unknown = sorted(set(nms) - _SOFT_NMS_OPTIONS)
        if unknown:
            raise ValueError(f'unknown options {unknown} of soft_nms; it has {sorted(_SOFT_NMS_OPTIONS)}')
        defaults = dict(sigma=0.5, min_score=1e-3, method='gaussian', iou_threshold=0.3)
        check_soft_nms_options(**{k: nms.get(k, v) for k, v in defaults.items()})
    else:
        raise ValueError(f"nms.type must be 'soft_nms' or 'nms', or nms None for no suppression, got {nms!r}")


def merge_views(
    views: Sequence[View],
    image_wh: tuple[int, int],
    view_filters: ViewFilter | Sequence[ViewFilter] | None = None,
    nms: dict | None = DEFAULT_NMS,
    max_per_img: int = 100,
    flip_indices: Sequence[int] | None = None,
) -> InstanceData:
    """Merge the detections of several views of one image.

    Each view's boxes are mapped to the image and filtered; then all views are suppressed together, class by class, and
    the best are kept. The inputs are not changed.

    Args:
        views: Per view its chip and its detections as an MMDetection detector returns them with ``rescale=True``: boxes
            in original pixels, but relative to the chip's corner and still flipped. ``bboxes`` (N, 4), ``scores`` (N,)
            and ``labels`` (N,) are needed. ``keypoints`` (N, K, 2), in the frame of the boxes, and ``keypoint_scores``
            (N, K) are mapped to the image too; any further field travels along with its detection as it is.
        image_wh: Width and height of the original image.
        view_filters: What each view may report: one rule for all views or one per view; ``None`` keeps everything.
        nms: ``dict(type='soft_nms', ...)`` with the options of ``soft_nms_per_class``; ``dict(type='nms',
            iou_threshold=...)`` with the options of ``mmcv.ops.batched_nms``; or ``None`` for no suppression.
        max_per_img: Merged detections to keep at most.
        flip_indices: For each of the K keypoints the one that takes its place in a mirrored object; needed for
            keypoints of flipped views.

    Returns:
        The M <= ``max_per_img`` best detections in descending order of score, boxes in pixels of the image. The fields
        ``view_ids`` and ``view_rows`` (M,) tell which row of which view a detection comes from.

    Raises:
        ValueError: If the number of filters differs from the number of views, an option is unknown, views have
            different fields, a view has pasted masks, or a flipped one keypoints without ``flip_indices``.
    """
    check_merge_options(nms, max_per_img)
    filters = filters_of_views(view_filters, len(views))
    kept = [_kept_of_view(i, *view, f, image_wh, flip_indices) for i, (view, f) in enumerate(zip(views, filters))]
    merged = _concatenate(kept)
    if len(merged) == 0:
        return merged
    scores, indices = _suppress(merged.bboxes, merged.scores, merged.labels, nms, max_per_img)
    merged = merged[indices[:max_per_img]]
    merged.scores = scores[:max_per_img]
    return merged


def _kept_of_view(
    view_id: int,
    chip: Chip,
    detections: InstanceData,
    view_filter: ViewFilter,
    image_wh: tuple[int, int],
    flip_indices: Sequence[int] | None,
) -> InstanceData:
    """Detections of a view that its filter keeps, mapped to the image, with where they come from."""
    unknown = sorted(set(detections.keys()) & set(_PLACE_FIELDS))
    if unknown:
        raise ValueError(
            f'views with {unknown} cannot be merged; ScaleRangeTTAModel and ChipDetector merge the masks of detectors '
            'with a StandardRoIHead or CascadeRoIHead'
        )
    # A new container: assigning to the detector's own would change the view's data sample.
    mapped = InstanceData(**dict(detections.items()))
    mapped.bboxes = chip.rescaled_boxes_to_image(detections.bboxes)
    _keypoints_to_image(mapped, chip, flip_indices)
    rows = torch.arange(len(detections), device=detections.labels.device)
    mapped.view_ids = torch.full_like(rows, view_id)
    mapped.view_rows = rows
    return mapped[view_filter.keep(mapped.bboxes, mapped.labels, chip, image_wh)]


def _keypoints_to_image(detections: InstanceData, chip: Chip, flip_indices: Sequence[int] | None) -> None:
    if 'keypoints' not in detections:
        return
    columns = [detections.keypoints]
    if 'keypoint_scores' in detections:
        columns.append(detections.keypoint_scores[..., None])
    # Scores are a column of the keypoints here, for left and right change places in both.
    mapped = chip.rescaled_keypoints_to_image(torch.cat(columns, dim=-1), flip_indices)
    detections.keypoints = mapped[..., : columns[0].shape[-1]]
    if len(columns) > 1:
        detections.keypoint_scores = mapped[..., -1]


def _concatenate(parts: list[InstanceData]) -> InstanceData:
    if not parts:
        none = torch.zeros(0, dtype=torch.long)
        return InstanceData(
            bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=none, view_ids=none.clone(), view_rows=none.clone()
        )
    # A head may leave optional fields out when it finds nothing; such views do not count.
    filled = [p for p in parts if len(p) > 0] or parts[:1]
    fields = [sorted(p.keys()) for p in filled]
    if any(f != fields[0] for f in fields):
        raise ValueError(f'views with different fields cannot be merged: {fields}')
    return InstanceData.cat(filled)


def _suppress(
    boxes_xyxy: Tensor, scores: Tensor, labels: Tensor, nms: dict | None, max_keep: int
) -> tuple[Tensor, Tensor]:
    """Scores after suppression, descending, and the indices of the boxes that they belong to."""
    if nms is not None and nms['type'] == 'soft_nms':
        options = {k: v for k, v in nms.items() if k != 'type'}
        return soft_nms_per_class(boxes_xyxy, scores, labels, max_keep=max_keep, **options)
    dets, indices = batched_nms(boxes_xyxy, scores, labels, nms if nms is None else dict(nms))
    return dets[:, -1], indices
