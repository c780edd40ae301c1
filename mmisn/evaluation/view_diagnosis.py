"""Which view of a multi-scale test found or missed each object, and what became of it in the merge.

A view "finds" an object when testing with this view alone would: its detections are filtered and suppressed as the
merge of all views does it (``merge_views`` of one view), then matched with the ground truth as COCO does, per class,
greedily by score.

Shape shorthand: N objects, V views, R reports (lists of detections), M detections of a report.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import DEFAULT_NMS, filters_of_views, merge_views
from mmisn.structures import Chip, ScaleRange, ViewFilter, clip_boxes, scales_of_boxes

from .report_matching import box_overlaps, match_scores

VIEW_STATES = ('found', 'discarded', 'missed', 'out of range')
FOUND, DISCARDED, MISSED, OUT_OF_RANGE = range(4)
"""What a view makes of an object: it reports it; it sees it, but drops it by its range; it misses it although its range
holds the object; or it misses it and its range does not hold the object (or its chip not the whole of it)."""

MERGED_STATES = ('found', 'lost in merging', 'found out of range only', 'found by no view')
MERGED, LOST, ONLY_DISCARDED, UNSEEN = range(4)
"""What becomes of an object in the end: it is in the merged result; some view found it, the merged result does not have
it; no view found it, but some discarded it, so that a wider range would report it; or no view sees it at all."""

# A merged detection that overlaps a lost object less does not stand in its place.
RIVAL_IOU = 0.3

View = tuple[Chip, InstanceData]


@dataclass(frozen=True)
class ImageObjects:
    """Annotated objects of an image, without those that are ignored.

    Attributes:
        image_id: Of the image, as annotated.
        annotation_ids: (N,) as annotated.
        boxes_xyxy: (N, 4) float64 boxes in original pixels, as annotated.
        labels: (N,) classes.
        left_out: For each reason the number of annotations that are not among the objects.
        ignored_xyxy: (I, 4) boxes of the left out annotations in which detections are not false positives: crowds, and
            those marked to be ignored.
        ignored_labels: (I,) their classes.
    """

    image_id: int | str
    annotation_ids: Sequence
    boxes_xyxy: np.ndarray
    labels: np.ndarray
    left_out: Mapping[str, int] = field(default_factory=dict)
    ignored_xyxy: np.ndarray = field(default_factory=lambda: np.zeros((0, 4)))
    ignored_labels: np.ndarray = field(default_factory=lambda: np.zeros(0, int))


@dataclass(frozen=True)
class ObjectStates:
    """What became of the objects of one image, or of many.

    Attributes:
        image_ids: (N,) of their images.
        annotation_ids: (N,) as annotated.
        labels: (N,) classes.
        scales: (N,) sqrt(w * h) in original pixels of the box clipped to the image.
        in_range: (N, V) whether the view's range holds the object, and its chip the whole of it.
        states: (N, V) indices of ``VIEW_STATES``.
        scores: (N, V) score of the detection that makes it found or discarded; NaN for none.
        merged: (N,) indices of ``MERGED_STATES``.
        merged_scores: (N,) score in the merged result; NaN for none.
        rivals: (N,) of an object lost in merging, the view whose box of its class the merged result has in its place
            (the largest IoU, 0.3 at least); -1 where there is none or nothing was lost.
    """

    image_ids: np.ndarray
    annotation_ids: np.ndarray
    labels: np.ndarray
    scales: np.ndarray
    in_range: np.ndarray
    states: np.ndarray
    scores: np.ndarray
    merged: np.ndarray
    merged_scores: np.ndarray
    rivals: np.ndarray

    def __len__(self) -> int:
        return len(self.scales)

    @classmethod
    def join(cls, parts: Sequence['ObjectStates']) -> 'ObjectStates':
        """The objects of several images together.

        Raises:
            ValueError: If images have different numbers of views.
        """
        numbers = sorted({p.states.shape[1] for p in parts})
        if len(numbers) != 1:
            raise ValueError(f'all images must have the same number of views, one image at least; got {numbers}')
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in cls.__dataclass_fields__})


def diagnose_image(
    objects: ImageObjects,
    views: Sequence[View],
    merged: InstanceData,
    image_wh: tuple[int, int],
    view_filters: ViewFilter | Sequence[ViewFilter] | None = None,
    open_views: Sequence[View] | None = None,
    nms: dict | None = DEFAULT_NMS,
    max_per_img: int = 100,
    iou_thr: float = 0.5,
    score_thr: float = 0.05,
) -> ObjectStates:
    """Tell which view found which object of an image.

    Args:
        objects: The ground truth.
        views: Per view its chip and its detections before any filter, as ``merge_views`` takes them.
        merged: The result of all views together, boxes in original pixels.
        image_wh: Width and height of the original image.
        view_filters: What each view may report, one for all views or one per view.
        open_views: The same views where the detector knew of no range; by default ``views``. A detector whose heads
            filter by range themselves reports nothing else otherwise, and nobody could tell what a wider range finds.
        nms: Suppression, as in ``merge_views``.
        max_per_img: Detections of a view to look at, at most, as in ``merge_views``.
        iou_thr: Smallest IoU of a match.
        score_thr: Detections below it do not count, neither of views (after suppression) nor in ``merged``.

    Returns:
        The states of the N objects.
    """
    filters = filters_of_views(view_filters, len(views))
    reports = [merged[merged.scores >= score_thr]]
    for view, open_view, view_filter in zip(views, views if open_views is None else open_views, filters):
        # Edge and class rules stay: a wider range would not lift them.
        unranged = replace(view_filter, scale_range=ScaleRange())
        for (chip, detections), rule in ((view, view_filter), (open_view, unranged)):
            # Suppression only lowers scores, so what is below the threshold now changes nothing above it.
            relevant = detections[detections.scores >= score_thr]
            alone = merge_views([(chip, relevant)], image_wh, rule, nms, max_per_img)
            reports.append(alone[alone.scores >= score_thr])
    scores = match_scores(objects.boxes_xyxy, objects.labels, reports, iou_thr)
    boxes = clip_boxes(objects.boxes_xyxy, image_wh)
    in_range = [_holds(f.scale_range, chip, boxes) for f, (chip, _) in zip(filters, views)]
    states = _states(objects, boxes, np.stack(in_range, axis=1), scores)
    return replace(states, rivals=_rivals(objects, states.merged == LOST, reports[0]))


def _holds(scale_range: ScaleRange, chip: Chip, boxes_xyxy: np.ndarray) -> np.ndarray:
    return scale_range.in_original(chip).contains_boxes(boxes_xyxy) & chip.encloses(boxes_xyxy)


def _states(objects: ImageObjects, boxes_xyxy: np.ndarray, in_range: np.ndarray, scores: np.ndarray) -> ObjectStates:
    """States from the (2 V + 1, N) scores of matches: merged, then per view with its range and without."""
    merged_scores, with_range, without = scores[0], scores[1::2].T, scores[2::2].T
    found, seen = ~np.isnan(with_range), ~np.isnan(without)
    states = np.where(in_range, MISSED, OUT_OF_RANGE)
    states[seen] = DISCARDED
    states[found] = FOUND
    merged = np.full(len(boxes_xyxy), UNSEEN)
    merged[seen.any(axis=1)] = ONLY_DISCARDED
    merged[found.any(axis=1)] = LOST
    merged[~np.isnan(merged_scores)] = MERGED
    return ObjectStates(
        # Of no numeric type, for ids may be strings, and an image without objects must not make integers floats.
        image_ids=np.array([objects.image_id] * len(boxes_xyxy), object),
        annotation_ids=np.array(objects.annotation_ids, object),
        labels=np.asarray(objects.labels),
        scales=scales_of_boxes(boxes_xyxy),
        in_range=in_range,
        states=states,
        scores=np.where(found, with_range, without),
        merged=merged,
        merged_scores=merged_scores,
        rivals=np.full(len(boxes_xyxy), -1),
    )


def _rivals(objects: ImageObjects, lost: np.ndarray, merged: InstanceData) -> np.ndarray:
    """(N,) view of the merged detection that overlaps each lost object most; -1 for none."""
    rivals = np.full(len(lost), -1)
    if 'view_ids' not in merged or len(merged) == 0:
        return rivals
    labels, view_ids = merged.labels.cpu().numpy(), merged.view_ids.cpu().numpy()
    boxes = merged.bboxes.double().cpu().numpy()
    for i in np.flatnonzero(lost):
        overlaps = box_overlaps(boxes, objects.boxes_xyxy[i : i + 1])[:, 0]
        overlaps[labels != objects.labels[i]] = 0
        if overlaps.max() >= RIVAL_IOU:
            rivals[i] = view_ids[overlaps.argmax()]
    return rivals
