"""``ScaleRangeCocoMetric``: MMDetection's COCO metric with AP and AR in scale ranges."""

import os.path as osp
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.datasets.api_wrappers import COCO
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.fileio import dump, load
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmisn.datasets.skeleton import PERSON_SIGMAS

from .keypoint_eval import (
    KEYPOINT_ITEMS,
    evaluate_keypoints,
    keypoint_categories,
    keypoint_ground_truth,
    keypoint_records,
    keypoint_sigmas,
)
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

    All that ``CocoMetric`` does stays as it is. For every range and each of the metrics ``bbox``, ``segm`` and
    ``keypoints`` four results join, rounded to three digits as the others are, for example ``coco/bbox_mAP_16_560``,
    ``coco/bbox_AR_16_560`` (ISN, Table 7), ``coco/bbox_AP50_16_560`` and ``coco/bbox_AP75_16_560``, all at 100
    detections per image and class (20 for keypoints); a table with the number of objects goes to the log. A range
    without objects has -1, as in pycocotools.

    The metric ``keypoints`` is COCO's AP and AR by object keypoint similarity, for classes that have keypoints in the
    annotation file: ``coco/keypoints_mAP``, ``_mAP_50``, ``_mAP_75``, ``_mAP_m``, ``_mAP_l``, and ``AR`` likewise (ISN,
    Table 9). The columns ``AR_s``, ``AR_m`` and ``AR_l`` for masks (Table 8) are ``metric_items`` of ``CocoMetric``:
    ``AR_s@1000`` and so on; with at most 100 detections per image they are COCO's ``AR_s``.

    ``PREFIX.segm.json`` holds no boxes (``PREFIX.bbox.json`` has them, in the same order): pycocotools would take the
    areas of detections from them, and its numbers by object size would not be the ones reported here.

    Where ``CocoMetric`` gives up when nothing at all was detected, every key is there with its proper value: 0 where
    there are objects, -1 where there are none.

    pycocotools overwrites ``ignore`` of an annotation by ``iscrowd``, so that ``ignore: 1`` counts as missed where it
    is not found. A warning says how many there are; ``ignore_as_crowd`` ignores them as ``CocoKeypointDataset`` does.

    Args:
        ann_file: Annotation file; needed for ``keypoints``.
        metric: One or several of ``bbox``, ``segm``, ``keypoints``, ``proposal``, ``proposal_fast``.
        scale_ranges: Ranges in pixels of the original image: pairs (lower, upper), both included, or dicts of
            ``ScaleRange``'s arguments. A pair is judged by sqrt(w * h) of the box, for boxes and masks alike; measure
            ``mask_area`` by the annotation's area, as COCO's own small, medium and large. For keypoints, detections
            have the box that pycocotools draws around their keypoints.
        scale_octaves: (lower, upper), short for the ranges [lower, 2 lower), [2 lower, 4 lower), ..., the last one
            up to and with ``upper``. They come after ``scale_ranges``.
        sigmas: OKS sigmas, one per keypoint; by default those of the dataset's metainfo, else COCO's for a person,
            with a warning where 17 keypoints have other names than COCO's.
        ignore_as_crowd: Take ``ignore: 1`` for ``iscrowd: 1``: neither found nor missed, and detections that lie in it
            are no false positives.
        *args: ``CocoMetric``'s.
        **kwargs: ``CocoMetric``'s. ``metric_items`` chooses among the standard numbers of boxes and masks; those of
            keypoints and of the ranges are always reported. ``use_mp_eval`` and ``classwise`` concern the standard
            numbers of boxes and masks only.

    Raises:
        ValueError: If a range is invalid, in the view frame or there twice, a metric item is unknown, there are
            ranges but no metric that has them, or ``keypoints`` without an annotation file.
    """

    range_metrics = ('bbox', 'segm', 'keypoints')

    def __init__(
        self,
        ann_file: str | None = None,
        metric: str | list[str] = 'bbox',
        *args,
        scale_ranges: Sequence[Any] | None = None,
        scale_octaves: Sequence[float] | None = None,
        sigmas: Sequence[float] | None = None,
        ignore_as_crowd: bool = False,
        **kwargs,
    ) -> None:
        self.scale_ranges = _named_ranges(scale_ranges, scale_octaves)
        asked = [metric] if isinstance(metric, str) else list(metric)
        self.with_keypoints = 'keypoints' in asked
        if self.with_keypoints and ann_file is None:
            raise ValueError('the metric keypoints needs an annotation file: give ScaleRangeCocoMetric ann_file=...')
        self.sigmas = sigmas
        self.ignore_as_crowd = ignore_as_crowd
        self._warned: set[str] = set()
        # CocoMetric knows of no keypoints; they are written and evaluated here.
        super().__init__(ann_file, [m for m in asked if m != 'keypoints'], *args, **kwargs)
        # pycocotools compares and counts thresholds as an array; CocoMetric would hand it the float or list.
        self.iou_thrs = np.atleast_1d(np.asarray(self.iou_thrs, dtype=np.float64))
        unknown = [item for item in self.metric_items or () if item not in STANDARD_ITEMS]
        if unknown:
            raise ValueError(
                f'unknown metric_items {unknown}; there are {STANDARD_ITEMS}, and scale ranges are always reported'
            )
        if self.scale_ranges and not set(asked) & set(self.range_metrics):
            raise ValueError(f'scale ranges need one of the metrics {self.range_metrics}, got {asked}')
        self._result_files = {}

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Store the predictions of a batch; see ``CocoMetric``."""
        super().process(data_batch, data_samples)
        if not self.with_keypoints:
            return
        for (_, result), sample in zip(self.results[-len(data_samples) :], data_samples):
            predicted = sample['pred_instances']
            for key, empty in (('keypoints', (0, 0, 2)), ('keypoint_scores', (0, 0))):
                if key in predicted:
                    result[key] = predicted[key].cpu().numpy()
                elif len(predicted['scores']) == 0:
                    # Detectors may leave early where they found nothing.
                    result[key] = np.zeros(empty)
                else:
                    raise ValueError(f'the metric keypoints needs pred_instances.{key}; does the detector predict any?')

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Compute the standard numbers, then those of the ranges from the same result files.

        Args:
            results: Pairs of gt and prediction, one per image, as ``process`` stores them.

        Returns:
            Metric names and values; empty with ``format_only``.
        """
        if self.outfile_prefix is not None:
            try:
                return self._compute_all(results)
            finally:
                self._leave_boxes_out_of_masks()
        # CocoMetric would delete its own temporary folder before the ranges are evaluated.
        with tempfile.TemporaryDirectory() as folder:
            self.outfile_prefix = osp.join(folder, 'results')
            try:
                return self._compute_all(results)
            finally:
                self.outfile_prefix = None

    def _compute_all(self, results: list) -> dict[str, float]:
        eval_results = super().compute_metrics(results)
        if self.format_only:
            return eval_results
        if self.scale_ranges:
            for metric in self.metrics:
                if metric in self.range_metrics:
                    eval_results.update(self._evaluate_ranges(metric))
        if self.with_keypoints:
            eval_results.update(self._evaluate_keypoints())
        return eval_results

    def _leave_boxes_out_of_masks(self) -> None:
        path = self._result_files.get('segm')
        if path is None:
            return
        # At the end only: CocoMetric takes the boxes off what it reads, and fails where there are none.
        records = load(path)
        for record in records:
            record.pop('bbox', None)
        dump(records, path)

    def results2json(self, results: Sequence[dict], outfile_prefix: str) -> dict:
        """Write the predictions as COCO json, once, and remember the files; keypoints as ``PREFIX.keypoints.json``.

        Args:
            results: Predictions, one dict per image.
            outfile_prefix: Path and start of the file names.

        Returns:
            File names by metric.
        """
        # The one place between the creation of the COCO object, which may come late, and its loadRes.
        self._coco_api = _EmptyResultsCOCO.adopt(self._coco_api)
        self._take_ignored()
        if 0 in self._coco_api.anns:
            MMLogger.get_current_instance().warning(
                'the annotation file has an annotation with id 0, which pycocotools takes for "no match": it counts as '
                'missed when it is found. Number annotations from 1'
            )
        if not any(len(result['labels']) for result in results):
            MMLogger.get_current_instance().warning(f'nothing was detected in any of the {len(results)} images')
        self._result_files = super().results2json(results, outfile_prefix)
        if self.with_keypoints:
            self._result_files['keypoints'] = f'{outfile_prefix}.keypoints.json'
            keypoint_cat_ids = keypoint_categories(self._coco_api, self.cat_ids)
            offset = (self.dataset_meta or {}).get('keypoint_offset', 0.0)
            records = keypoint_records(results, self.cat_ids, keypoint_cat_ids, offset)
            dump(records, self._result_files['keypoints'])
        return self._result_files

    def _take_ignored(self) -> None:
        """Make crowds of the ignored annotations, or say that they count."""
        annotations = self._coco_api.dataset.get('annotations', [])
        ignored = [a for a in annotations if a.get('ignore') and not a.get('iscrowd')]
        if self.ignore_as_crowd:
            for annotation in ignored:
                annotation['iscrowd'] = 1
        elif ignored:
            self._warn_once(
                f'{len(ignored)} annotations have ignore: 1, of which pycocotools knows nothing: they count as missed '
                'where they are not found. ScaleRangeCocoMetric(ignore_as_crowd=True) ignores them'
            )

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            MMLogger.get_current_instance().warning(message)

    def _evaluate_keypoints(self) -> dict[str, float]:
        cat_ids = keypoint_categories(self._coco_api, self.cat_ids)
        coco_gt, num_keypoints = keypoint_ground_truth(self._coco_api, cat_ids)
        given, source = self.sigmas, 'ScaleRangeCocoMetric.sigmas'
        if given is None:
            given, source = (self.dataset_meta or {}).get('sigmas'), "the dataset's metainfo['sigmas']"
        sigmas = keypoint_sigmas(num_keypoints, given, source)
        if given is None:
            self._warn_of_sigmas(cat_ids)
        records = load(self._result_files['keypoints'])
        wrong = {len(r['keypoints']) // 3 for r in records} - {num_keypoints}
        if wrong:
            raise ValueError(f'the detector predicts {wrong.pop()} keypoints, the annotations have {num_keypoints}')
        coco_dt = load_results(coco_gt, records)
        numbers = evaluate_keypoints(coco_gt, coco_dt, sigmas, cat_ids, self.img_ids, self.iou_thrs)
        values = {f'keypoints_{item}': round(numbers[item], 3) for item in KEYPOINT_ITEMS}
        table = AsciiTable([list(KEYPOINT_ITEMS), [f'{numbers[item]:.3f}' for item in KEYPOINT_ITEMS]]).table
        MMLogger.get_current_instance().info(f'keypoints:\n{table}')
        if self.scale_ranges:
            values.update(self._range_values(coco_gt, coco_dt, 'keypoints', cat_ids=cat_ids, sigmas=sigmas))
        return values

    def _warn_of_sigmas(self, cat_ids: Sequence[int]) -> None:
        described = [self._coco_api.cats[c].get('keypoints') for c in cat_ids]
        names = next(filter(None, described), None)
        if list(names or ()) != list(PERSON_SIGMAS):
            found = f'the names {list(names)}' if names else 'no names'
            self._warn_once(
                f"the {len(PERSON_SIGMAS)} keypoints have {found}, not those of COCO's person, but are "
                'evaluated with its sigmas: give ScaleRangeCocoMetric sigmas=[...], or use '
                "CocoKeypointDataset, which knows the skeleton's"
            )

    def _evaluate_ranges(self, metric: str) -> dict[str, float]:
        coco_dt = self._coco_api.loadRes(load(self._result_files[metric]))
        return self._range_values(self._coco_api, coco_dt, metric, cat_ids=self.cat_ids)

    def _range_values(self, coco_gt: COCO, coco_dt: COCO, metric: str, **options: Any) -> dict[str, float]:
        range_results = evaluate_scale_ranges(
            coco_gt,
            coco_dt,
            list(self.scale_ranges.values()),
            iou_type=metric,
            img_ids=self.img_ids,
            iou_thrs=self.iou_thrs,
            **options,
        )
        named = dict(zip(self.scale_ranges, range_results))
        MMLogger.get_current_instance().info(f'{metric} in scale ranges:\n{_table(named)}')
        values = {}
        for name, result in named.items():
            for item, value in (('mAP', result.ap), ('AP50', result.ap50), ('AP75', result.ap75), ('AR', result.ar)):
                values[f'{metric}_{item}_{name}'] = round(value, 3)
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
