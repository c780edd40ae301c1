"""COCO AP and AR over any list of scale ranges (``AP_[16,560]`` of ISN, Table 7), on top of pycocotools.

The protocol is COCO's own for small, medium and large objects, with another judge of scale: a gt out of the range is
ignored, a detection that matches an ignored gt is ignored, and so is an unmatched detection out of the range.
"""

import contextlib
import io
import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.structures import ScaleRange, scales_of_boxes

# COCO's largest number of detections per image, by IoU type.
MAX_DETS = dict(bbox=100, segm=100, keypoints=20)


class RangeResult(NamedTuple):
    """COCO's numbers for one scale range; -1 where no object is in the range, or the threshold was not evaluated.

    Args:
        ap: Mean over the IoU thresholds and classes.
        ap50: At IoU 0.5.
        ap75: At IoU 0.75.
        ar: Mean over the IoU thresholds and classes.
        num_gts: Objects in the range, crowds not counted.
    """

    ap: float
    ap50: float
    ap75: float
    ar: float
    num_gts: int


def evaluate_scale_ranges(
    coco_gt: COCO,
    coco_dt: COCO,
    ranges: Sequence[Any],
    iou_type: str = 'bbox',
    cat_ids: Sequence[int] | None = None,
    img_ids: Sequence[int] | None = None,
    iou_thrs: Sequence[float] | None = None,
    max_dets: int | None = None,
    sigmas: Sequence[float] | None = None,
) -> list[RangeResult]:
    """COCO AP and AR per scale range; one evaluation, with one computation of IoUs, for all the ranges.

    A range of measure ``sqrt_box`` judges gts by sqrt(w * h) of the annotated box and detections by their box
    (``segm``: the tight box of the mask; ``keypoints``: the box that pycocotools draws around them). ``mask_area``
    judges as COCO does: gts by the annotation's ``area``, detections by the area of the box or mask.

    Args:
        coco_gt: Annotations; left as they are.
        coco_dt: Detections, from ``coco_gt.loadRes`` or ``load_results``; left as they are.
        ranges: What ``original_range`` takes, in pixels of the original image.
        iou_type: ``bbox``, ``segm`` or ``keypoints``.
        cat_ids: Categories to average over; all by default.
        img_ids: Images to evaluate; all by default.
        iou_thrs: IoU thresholds; 0.5 to 0.95 in steps of 0.05 by default.
        max_dets: Detections per image and class that count, highest scores first; 100 by default, 20 for keypoints.
        sigmas: OKS sigmas of the keypoints; those of COCO's person by default.

    Returns:
        One result per range, in order.

    Raises:
        ValueError: If a range is invalid or in the view frame, or an option is unknown.
    """
    if iou_type not in MAX_DETS:
        raise ValueError(f'iou_type must be one of {tuple(MAX_DETS)}, got {iou_type!r}')
    if max_dets is not None and max_dets < 1:
        raise ValueError(f'max_dets must be at least 1, got {max_dets}')
    ranges = [original_range(r) for r in ranges]
    if not ranges:
        return []
    # pycocotools reports its progress by print.
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = _ScaleRangeEval(_copy_coco(coco_gt), _copy_coco(coco_dt), iou_type, ranges)
        params = evaluator.params
        params.maxDets = [MAX_DETS[iou_type] if max_dets is None else max_dets]
        if cat_ids is not None:
            params.catIds = list(cat_ids)
        if img_ids is not None:
            params.imgIds = list(img_ids)
        if iou_thrs is not None:
            params.iouThrs = np.atleast_1d(np.asarray(iou_thrs, dtype=np.float64))
        if sigmas is not None:
            params.kpt_oks_sigmas = np.asarray(sigmas, dtype=np.float64)
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator.range_results()


def original_range(cfg: Any) -> ScaleRange:
    """A scale range in pixels of the original image, the only ones that annotations have.

    Args:
        cfg: What ``ScaleRange.build`` takes; where no frame is said, ``original`` is meant.

    Raises:
        ValueError: If it is no valid range or says that it counts pixels of a view.
    """
    if isinstance(cfg, ScaleRange):
        scale_range = cfg
    elif isinstance(cfg, dict):
        scale_range = ScaleRange.build({'frame': 'original', **cfg})
    else:
        scale_range = replace(ScaleRange.build(cfg), frame='original')
    if scale_range.frame != 'original':
        raise ValueError(f"annotations have no view: the range must be of frame 'original', got {scale_range}")
    return scale_range


def octave_ranges(lower: float, upper: float) -> list[ScaleRange]:
    """Split [lower, upper] into octaves: [lower, 2 lower), [2 lower, 4 lower), ..., each object in exactly one.

    All but the last leave out their upper end: a range is closed, so it ends one floating point step below. The last
    one ends at ``upper``, which belongs to it, and is shorter than an octave when ``upper / lower`` is no power of 2.

    Args:
        lower: Original pixels, > 0.
        upper: Original pixels, finite, > ``lower``.

    Returns:
        Ranges in ascending order, frame ``original``.

    Raises:
        ValueError: If the bounds are not 0 < lower < upper < infinity.
    """
    whole = ScaleRange(lower, upper, frame='original')
    if lower == 0 or whole.upper == math.inf:
        raise ValueError(f'octaves need 0 < lower < upper < infinity, got ({lower}, {upper})')
    octaves = []
    while 2 * lower < upper:
        octaves.append(ScaleRange(lower, math.nextafter(2 * lower, 0), frame='original'))
        lower = 2 * lower
    return [*octaves, ScaleRange(lower, upper, frame='original')]


def range_name(scale_range: ScaleRange) -> str:
    """The range as a part of a metric's name: ``16_560``, ``96_inf``, or ``area_1024_9216`` for mask areas."""
    # Ten digits: the step below the end of an octave is rounded away.
    name = f'{scale_range.lower:.10g}_{scale_range.upper:.10g}'
    return name if scale_range.measure == 'sqrt_box' else f'area_{name}'


def load_results(coco_gt: COCO, predictions: list[dict]) -> COCO:
    """``coco_gt.loadRes`` that takes an empty list, too (pycocotools raises an IndexError).

    Args:
        coco_gt: Annotations.
        predictions: COCO results; pycocotools adds keys to them.

    Returns:
        The detections.
    """
    if len(predictions):
        return COCO.loadRes(coco_gt, predictions)
    return _indexed(coco_gt.dataset, [])


def _indexed(dataset: dict, annotations: list[dict]) -> COCO:
    """A COCO object of the data set's images and categories with the given annotations."""
    coco = COCO()
    coco.dataset = dict(
        images=dataset.get('images', []), categories=dataset.get('categories', []), annotations=annotations
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def _copy_coco(coco: COCO) -> COCO:
    """A COCO object whose annotations may get other values and new keys; images and categories are shared."""
    return _indexed(coco.dataset, [dict(ann) for ann in coco.dataset.get('annotations', [])])


class _ScaleRangeEval(COCOeval):
    """COCOeval whose "area ranges" are scale ranges.

    COCOeval compares an annotation's ``area`` with two bounds. Here ``ScaleRange.contains`` has decided before: "area
    range" number i is (i, i), and ``area`` is set to i for what lies in range i and to -1 for the rest. This comes
    after the IoUs, so keypoint similarity is computed with the true areas.
    """

    def __init__(self, coco_gt: COCO, coco_dt: COCO, iou_type: str, ranges: Sequence[ScaleRange]) -> None:
        super().__init__(coco_gt, coco_dt, iou_type)
        self.ranges = ranges
        self.params.areaRng = [(i, i) for i in range(len(ranges))]
        self.params.areaRngLbl = [range_name(r) for r in ranges]

    def _prepare(self) -> None:
        super()._prepare()
        for anns_of_image, is_gt in ((self._gts, True), (self._dts, False)):
            anns = list(itertools.chain.from_iterable(anns_of_image.values()))
            scales = {measure: self._scales(anns, measure, is_gt) for measure in {r.measure for r in self.ranges}}
            inside = [r.contains(scales[r.measure]).tolist() for r in self.ranges]
            for ann, flags in zip(anns, zip(*inside)):
                ann['_in_ranges'] = flags

    def _scales(self, anns: list[dict], measure: str, is_gt: bool) -> np.ndarray:
        """(N,) scales; ``evaluate_scale_ranges`` says what is measured."""
        of_masks = self.params.iouType == 'segm' and not is_gt and anns
        masks = [ann['segmentation'] for ann in anns] if of_masks else None
        if measure == 'mask_area':
            areas = mask_utils.area(masks) if of_masks else [ann['area'] for ann in anns]
            return np.array(areas, dtype=np.float64)
        boxes_xywh = mask_utils.toBbox(masks) if of_masks else [ann['bbox'] for ann in anns]
        # From width and height as they are written: x + w - x would not give w back.
        boxes_xyxy = np.zeros((len(anns), 4))
        boxes_xyxy[:, 2:] = np.array(boxes_xywh, dtype=np.float64).reshape(-1, 4)[:, 2:]
        return scales_of_boxes(boxes_xyxy)

    def evaluateImg(self, imgId, catId, aRng, maxDet):  # noqa: N802, N803 (pycocotools' names)
        index = aRng[0]
        for ann in itertools.chain(self._gts[imgId, catId], self._dts[imgId, catId]):
            ann['area'] = index if ann['_in_ranges'][index] else -1
        return super().evaluateImg(imgId, catId, aRng, maxDet)

    def range_results(self) -> list[RangeResult]:
        """The numbers per range, after ``accumulate``."""
        precision, recall = self.eval['precision'][..., 0], self.eval['recall'][..., 0]
        num_gts = [0] * len(self.ranges)
        for image in self.evalImgs:
            if image is not None:
                num_gts[image['aRng'][0]] += int(np.count_nonzero(np.asarray(image['gtIgnore']) == 0))
        at = {thr: np.isclose(self.params.iouThrs, thr) for thr in (0.5, 0.75)}
        return [
            RangeResult(
                ap=_mean_of_present(precision[..., i]),
                ap50=_mean_of_present(precision[at[0.5]][..., i]),
                ap75=_mean_of_present(precision[at[0.75]][..., i]),
                ar=_mean_of_present(recall[..., i]),
                num_gts=num_gts[i],
            )
            for i in range(len(self.ranges))
        ]


def _mean_of_present(values: np.ndarray) -> float:
    """Mean over the classes that have objects, which pycocotools marks by values above -1; -1 without any."""
    present = values[values > -1]
    return float(present.mean()) if present.size else -1.0
