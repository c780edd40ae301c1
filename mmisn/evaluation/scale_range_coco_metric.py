"""``ScaleRangeCocoMetric``: MMDetection's COCO metric with AP and AR in scale ranges."""

import os.path as osp
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import load
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from .scale_range_eval import (
    RangeResult,
    evaluate_scale_ranges,
    load_results,
    octave_ranges,
    original_range,
    range_name,
)

STANDARD_ITEMS = (
    *('mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l'),
    *('AR@100', 'AR@300', 'AR@1000', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000'),
)


@METRICS.register_module()
class ScaleRangeCocoMetric(CocoMetric):
    """COCO metric with AP and AR in any list of scale ranges beside the standard numbers.

    All that ``CocoMetric`` does stays as it is. For every range and each of the metrics ``bbox`` and ``segm`` two
    results join, rounded to three digits as the others are, for example ``coco/bbox_mAP_16_560`` and
    ``coco/bbox_AR_16_560`` (ISN, Table 7), both at 100 detections per image and class; a table with AP50, AP75 and
    the number of objects goes to the log. A range without objects has -1, as in pycocotools.

    Where ``CocoMetric`` gives up when nothing at all was detected, every key is there with its proper value: 0 where
    there are objects, -1 where there are none.

    Args:
        scale_ranges: Ranges in pixels of the original image: pairs (lower, upper), both included, or dicts of
            ``ScaleRange``'s arguments. A pair is judged by sqrt(w * h) of the box, for boxes and masks alike; measure
            ``mask_area`` by the annotation's area, as COCO's own small, medium and large.
        scale_octaves: (lower, upper), short for the ranges [lower, 2 lower), [2 lower, 4 lower), ..., the last one
            up to and with ``upper``. They come after ``scale_ranges``.
        *args: ``CocoMetric``'s.
        **kwargs: ``CocoMetric``'s. ``metric_items`` chooses among the standard numbers; those of the ranges are always
            reported. ``use_mp_eval`` concerns the standard numbers only.

    Raises:
        ValueError: If a range is invalid, in the view frame or there twice, a metric item is unknown, or there are
            ranges but no metric that has them.
    """

    range_metrics = ('bbox', 'segm')

    def __init__(
        self, *args, scale_ranges: Sequence[Any] | None = None, scale_octaves: Sequence[float] | None = None, **kwargs
    ) -> None:
        self.scale_ranges = _named_ranges(scale_ranges, scale_octaves)
        super().__init__(*args, **kwargs)
        # pycocotools compares and counts thresholds as an array; CocoMetric would hand it the float or list.
        self.iou_thrs = np.atleast_1d(np.asarray(self.iou_thrs, dtype=np.float64))
        unknown = [item for item in self.metric_items or () if item not in STANDARD_ITEMS]
        if unknown:
            raise ValueError(
                f'unknown metric_items {unknown}; there are {STANDARD_ITEMS}, and scale ranges are always reported'
            )
        if self.scale_ranges and not set(self.metrics) & set(self.range_metrics):
            raise ValueError(f'scale ranges need one of the metrics {self.range_metrics}, got {self.metrics}')
        self._result_files = {}

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the standard numbers, then those of the ranges from the same result files.

        Args:
            results: Pairs of gt and prediction, one per image, as ``process`` stores them.

        Returns:
            Metric names and values; empty with ``format_only``.
        """
        if self.outfile_prefix is not None:
            return self._compute_all(results)
        # CocoMetric would delete its own temporary folder before the ranges are evaluated.
        with tempfile.TemporaryDirectory() as folder:
            self.outfile_prefix = osp.join(folder, 'results')
            try:
                return self._compute_all(results)
            finally:
                self.outfile_prefix = None

    def _compute_all(self, results: list) -> dict[str, float]:
        eval_results = super().compute_metrics(results)
        if self.scale_ranges and not self.format_only:
            for metric in self.metrics:
                if metric in self.range_metrics:
                    eval_results.update(self._evaluate_ranges(metric))
        return eval_results

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write the predictions as COCO json, once, and remember the files.

        Args:
            results: Predictions, one dict per image.
            outfile_prefix: Path and start of the file names.

        Returns:
            File names by metric.
        """
        # The one place between the creation of the COCO object, which may come late, and its loadRes.
        self._coco_api = _EmptyResultsCOCO.adopt(self._coco_api)
        if 0 in self._coco_api.anns:
            MMLogger.get_current_instance().warning(
                'the annotation file has an annotation with id 0, which pycocotools takes for "no match": it counts as '
                'missed when it is found. Number annotations from 1'
            )
        if not any(len(result['labels']) for result in results):
            MMLogger.get_current_instance().warning(f'nothing was detected in any of the {len(results)} images')
        self._result_files = super().results2json(results, outfile_prefix)
        return self._result_files

    def _evaluate_ranges(self, metric: str) -> dict[str, float]:
        range_results = evaluate_scale_ranges(
            self._coco_api,
            self._coco_api.loadRes(load(self._result_files[metric])),
            list(self.scale_ranges.values()),
            iou_type=metric,
            cat_ids=self.cat_ids,
            img_ids=self.img_ids,
            iou_thrs=self.iou_thrs,
        )
        named = dict(zip(self.scale_ranges, range_results))
        MMLogger.get_current_instance().info(f'{metric} in scale ranges:\n{_table(named)}')
        values = {}
        for name, result in named.items():
            values[f'{metric}_mAP_{name}'] = round(result.ap, 3)
            values[f'{metric}_AR_{name}'] = round(result.ar, 3)
        return values


class _EmptyResultsCOCO(COCO):
    """A COCO object that can load results without any detection."""

    @classmethod
    def adopt(cls, coco: COCO) -> '_EmptyResultsCOCO':
        """The same annotations and indices, not copied."""
        adopted = cls.__new__(cls)
        adopted.__dict__.update(coco.__dict__)
        return adopted

    def loadRes(self, resFile):  # noqa: N802, N803 (pycocotools' names)
        return load_results(self, resFile)


def _named_ranges(scale_ranges: Sequence[Any] | None, scale_octaves: Sequence[float] | None) -> dict:
    """All ranges by the name that they have in the results."""
    if scale_ranges is not None and not isinstance(scale_ranges, (list, tuple)):
        raise ValueError(f'scale_ranges must be a list of ranges, got {scale_ranges!r}')
    ranges = [original_range(cfg) for cfg in scale_ranges or ()]
    if scale_octaves is not None:
        if not isinstance(scale_octaves, (list, tuple)) or len(scale_octaves) != 2:
            raise ValueError(f'scale_octaves must be a pair (lower, upper), got {scale_octaves!r}')
        ranges += octave_ranges(*scale_octaves)
    named = {}
    for scale_range in ranges:
        name = range_name(scale_range)
        if name in named:
            raise ValueError(f'two scale ranges have the name {name!r}: {named[name]} and {scale_range}')
        named[name] = scale_range
    return named


def _table(named: dict[str, RangeResult]) -> str:
    rows = [['scale range', 'objects', 'AP', 'AP50', 'AP75', 'AR']]
    for name, r in named.items():
        rows.append([name, str(r.num_gts), *(f'{v:.3f}' for v in (r.ap, r.ap50, r.ap75, r.ar))])
    return AsciiTable(rows).table
