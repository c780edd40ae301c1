"""COCO's matching of detections with the objects of an image: pycocotools' own, of several lists of detections at once.

Shape shorthand: N objects, I regions to ignore, R reports (lists of detections), M detections of a report.
"""

import contextlib
import io
from collections.abc import Sequence

import numpy as np
from mmengine.structures import InstanceData
from pycocotools import mask as mask_utils
from pycocotools.cocoeval import COCOeval

UNMATCHED, IN_IGNORED_REGION = -1, -2
"""In the place of an object's index: the detection is matched with nothing, or lies in a region to ignore."""


def match_detections(
    boxes_xyxy: np.ndarray,
    labels: np.ndarray,
    reports: Sequence[InstanceData],
    iou_thr: float,
    ignored_xyxy: np.ndarray | None = None,
    ignored_labels: np.ndarray | None = None,
) -> list[np.ndarray]:
    """Match each report's detections with the objects, per class, greedily by score.

    Args:
        boxes_xyxy: (N, 4) boxes of the objects.
        labels: (N,) their classes.
        reports: R lists of detections, with ``bboxes``, ``scores`` and ``labels``.
        iou_thr: Smallest IoU of a match; also the smallest part of a detection in a region to ignore of its class.
        ignored_xyxy: (I, 4) boxes of regions to ignore; they count as crowds do for pycocotools.
        ignored_labels: (I,) their classes.

    Returns:
        Per report (M,) index of the object that each detection is matched with, or ``UNMATCHED`` or, of one that is
        matched with no object, ``IN_IGNORED_REGION``.
    """
    found = [np.full(len(r), UNMATCHED) for r in reports]
    gts = _records(boxes_xyxy, labels)
    if ignored_xyxy is not None:
        regions = _records(ignored_xyxy, ignored_labels)
        gts += [dict(r, id=len(gts) + r['id'], ignore=1, iscrowd=1) for r in regions]
    if not gts or not reports:
        return found
    evaluator = _ReportMatching(gts, reports, iou_thr)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.evaluate()
    for result in filter(None, evaluator.evalImgs):
        matched = result['dtMatches'][0].astype(int) - 1
        matched[result['dtIgnore'][0]] = IN_IGNORED_REGION
        found[result['image_id']][np.array(result['dtIds'], int) - 1] = matched
    return found


def match_scores(
    boxes_xyxy: np.ndarray, labels: np.ndarray, reports: Sequence[InstanceData], iou_thr: float
) -> np.ndarray:
    """Score of the detection of each report that each object is matched with.

    Args:
        boxes_xyxy: (N, 4) boxes of the objects.
        labels: (N,) their classes.
        reports: R lists of detections, with ``bboxes``, ``scores`` and ``labels``.
        iou_thr: Smallest IoU of a match.

    Returns:
        (R, N) scores, NaN for no match.
    """
    scores = np.full((len(reports), len(boxes_xyxy)), np.nan)
    for row, report, matched in zip(scores, reports, match_detections(boxes_xyxy, labels, reports, iou_thr)):
        hit = matched >= 0
        row[matched[hit]] = report.scores.double().cpu().numpy()[hit]
    return scores


def box_overlaps(boxes_xyxy: np.ndarray, others_xyxy: np.ndarray, of_box: bool = False) -> np.ndarray:
    """Overlaps of boxes, as the matching computes them.

    Args:
        boxes_xyxy: (M, 4).
        others_xyxy: (N, 4).
        of_box: Whether to divide the intersection by the area of the former box in place of the union.

    Returns:
        (M, N) IoU, or share of the former box that lies in the latter.
    """
    if not len(boxes_xyxy) or not len(others_xyxy):
        return np.zeros((len(boxes_xyxy), len(others_xyxy)))
    return mask_utils.iou(_xywh(boxes_xyxy), _xywh(others_xyxy), [int(of_box)] * len(others_xyxy))


class _ReportMatching(COCOeval):
    """COCOeval of one image, whose reports take the place of its images; ids count from 1, for 0 means "no match"."""

    def __init__(self, gts: list[dict], reports: Sequence[InstanceData], iou_thr: float) -> None:
        super().__init__(iouType='bbox')
        self.params.imgIds = list(range(len(reports)))
        self.params.catIds = sorted({gt['category_id'] for gt in gts})
        self.params.iouThrs = np.array([iou_thr], np.float64)
        self.params.areaRng = [(-np.inf, np.inf)]
        self.params.areaRngLbl = ['all']
        self.params.maxDets = [max(1, *(len(r) for r in reports))]
        self._objects = gts
        self._reports = [
            _records(r.bboxes.double().cpu().numpy(), r.labels.cpu().numpy(), r.scores.double().cpu().numpy())
            for r in reports
        ]

    def _prepare(self) -> None:
        for number, detections in enumerate(self._reports):
            for label in self.params.catIds:
                # Records of their own: the evaluation writes into them.
                self._gts[number, label] = [dict(r) for r in self._objects if r['category_id'] == label]
                self._dts[number, label] = [r for r in detections if r['category_id'] == label]


def _records(boxes_xyxy: np.ndarray, labels: np.ndarray, scores: np.ndarray | None = None) -> list[dict]:
    scores = np.zeros(len(labels)) if scores is None else scores
    boxes = _xywh(boxes_xyxy).tolist()
    return [
        dict(id=i, category_id=label, bbox=box, area=box[2] * box[3], score=score, ignore=0, iscrowd=0)
        for i, (box, label, score) in enumerate(zip(boxes, labels.tolist(), scores.tolist()), 1)
    ]


def _xywh(boxes_xyxy: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes_xyxy[:, :2], boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]], axis=1)
