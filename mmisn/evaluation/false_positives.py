"""What the detections of a merged result are that found no object.

Detections are matched with the objects as COCO does, per class, greedily by score; one that is matched with none is a
false positive, unless it lies in a region to ignore of its class. Each is of the first of ``KINDS`` that holds.

Shape shorthand: N objects, M detections.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from mmengine.structures import InstanceData

from mmisn.structures import scales_of_boxes

from .report_matching import IN_IGNORED_REGION, box_overlaps, match_detections
from .view_diagnosis import ImageObjects

KINDS = ('true', 'twice', 'other class', 'loose', 'part', 'background')
TRUE, TWICE, OTHER_CLASS, LOOSE, PART, BACKGROUND = range(6)
"""It is matched with an object; it fits an object of its class that a better detection has taken; it fits an object of
another class; it overlaps an object of its class, but does not fit; it is a part of a larger object of any class; or
it is none of these. To fit is to have the IoU of a match."""

# IoU with an object of its class that makes a misfit of a detection.
LOOSE_IOU = 0.3
# A part lies in the object with so much of its area, and the object's area is so many times its own: sqrt(2) in scale.
PART_INSIDE = 0.7
PART_AREA_RATIO = 2.0


@dataclass(frozen=True)
class DetectionKinds:
    """What the detections of one image are, or of many.

    Attributes:
        image_ids: (M,) of their images.
        labels: (M,) classes.
        scales: (M,) sqrt(w * h) in original pixels.
        scores: (M,) in the merged result.
        view_ids: (M,) of the views that they come from.
        kinds: (M,) indices of ``KINDS``.
        num_ignored: Detections in regions to ignore, which are not among the M.
    """

    image_ids: np.ndarray
    labels: np.ndarray
    scales: np.ndarray
    scores: np.ndarray
    view_ids: np.ndarray
    kinds: np.ndarray
    num_ignored: int = 0

    def __len__(self) -> int:
        return len(self.scales)

    @classmethod
    def join(cls, parts: Sequence['DetectionKinds']) -> 'DetectionKinds':
        """The detections of several images together, one image at least."""
        names = [f.name for f in fields(cls) if f.name != 'num_ignored']
        joined = {name: np.concatenate([getattr(p, name) for p in parts]) for name in names}
        return cls(**joined, num_ignored=sum(p.num_ignored for p in parts))


def kinds_of_detections(
    objects: ImageObjects, merged: InstanceData, score_thr: float = 0.3, iou_thr: float = 0.5
) -> DetectionKinds:
    """Tell what the detections of an image are.

    Args:
        objects: The ground truth, with its regions to ignore.
        merged: The result of all views together: ``bboxes`` in original pixels, ``scores``, ``labels``, ``view_ids``.
        score_thr: Detections below it are left out.
        iou_thr: Smallest IoU of a match, and smallest part of a detection in a region to ignore.

    Returns:
        The kinds, in the order of ``merged``.
    """
    detections = merged[merged.scores >= score_thr]
    matched = match_detections(
        objects.boxes_xyxy, objects.labels, [detections], iou_thr, objects.ignored_xyxy, objects.ignored_labels
    )[0]
    counted = matched != IN_IGNORED_REGION
    boxes = detections.bboxes.double().cpu().numpy()[counted]
    labels = detections.labels.cpu().numpy()[counted]
    return DetectionKinds(
        # Of no numeric type, for ids may be strings.
        image_ids=np.array([objects.image_id] * len(boxes), object),
        labels=labels,
        scales=scales_of_boxes(boxes),
        scores=detections.scores.double().cpu().numpy()[counted],
        view_ids=detections.view_ids.cpu().numpy()[counted],
        kinds=_kinds(objects, boxes, labels, matched[counted] >= 0, iou_thr),
        num_ignored=int((~counted).sum()),
    )


def _kinds(
    objects: ImageObjects, boxes_xyxy: np.ndarray, labels: np.ndarray, matched: np.ndarray, iou_thr: float
) -> np.ndarray:
    ious = box_overlaps(boxes_xyxy, objects.boxes_xyxy)
    same = labels[:, None] == objects.labels
    # As pycocotools, which takes an IoU of 1 less a rounding error for 1.
    fits = ious >= min(iou_thr, 1 - 1e-10)
    inside = box_overlaps(boxes_xyxy, objects.boxes_xyxy, of_box=True) >= PART_INSIDE
    # Areas, for the square root of 2 is rounded.
    larger = _areas(objects.boxes_xyxy) >= PART_AREA_RATIO * _areas(boxes_xyxy)[:, None]
    # An unmatched detection that fits an object of its class came too late: the object was free for all before it.
    holds = [fits & same, fits & ~same, (ious >= LOOSE_IOU) & same, inside & larger]
    return np.select(
        [matched, *(h.any(axis=1) for h in holds)], [TRUE, TWICE, OTHER_CLASS, LOOSE, PART], default=BACKGROUND
    )


def _areas(boxes_xyxy: np.ndarray) -> np.ndarray:
    return (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])
