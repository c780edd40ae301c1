"""Run ``view_diagnosis`` and ``false_positives`` over the test set of a config."""

import contextlib
import copy
import io
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from pycocotools.coco import COCO
from rich.progress import track

from mmisn.datasets import check_annotations
from mmisn.models.test_time_augs import filters_of_views
from mmisn.structures import clip_boxes, scales_of_boxes

from .diagnosis_summary import TestedViews
from .false_positives import DetectionKinds, kinds_of_detections
from .view_diagnosis import ImageObjects, ObjectStates, diagnose_image
from .view_recorder import RecordedImage, ViewRecorder, build_recorder, name_views

CROWD, MARKED = IGNORED_REASONS = ('crowd', 'marked "ignore"')
"""Reasons to leave an annotation out that make its box a region in which detections are not false positives."""


@dataclass(frozen=True)
class Diagnosis:
    """What ``diagnose`` found.

    Attributes:
        states: What became of the objects.
        views: What was tested.
        classes: Names of the classes.
        num_images: Images tested.
        left_out: For each reason the number of annotations of these images that are not diagnosed.
        detections: What kind the detections of the merged result are.
        fp_score_thr: Smallest score of these detections.
    """

    states: ObjectStates
    views: TestedViews
    classes: Sequence[str]
    num_images: int
    left_out: dict[str, int]
    detections: DetectionKinds
    fp_score_thr: float


@dataclass
class _Seen:
    """What is gathered over the images."""

    states: list[ObjectStates] = field(default_factory=list)
    geometry: list[np.ndarray] = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    detections: list[DetectionKinds] = field(default_factory=list)


def diagnose(
    cfg: Config,
    checkpoint: str | Path,
    device: str = 'cpu',
    iou_thr: float = 0.5,
    score_thr: float = 0.05,
    max_images: int | None = None,
    fp_score_thr: float = 0.3,
) -> Diagnosis:
    """Test a detector as ``mim test --tta`` does; tell which view found which object, and what false positives are.

    Args:
        cfg: A whole config with ``tta_model`` and ``tta_pipeline``; it is not changed.
        checkpoint: Weights of the detector.
        device: Where to compute.
        iou_thr: Smallest IoU of a match, in (0, 1].
        score_thr: Detections below it do not count, in [0, 1].
        max_images: Images to look at, evenly spread over the test set; all by default.
        fp_score_thr: Detections of the merged result below it are not looked at as false positives, in [0, 1].

    Raises:
        ValueError: If an option is out of its domain, the config has no test-time augmentation or tests on no COCO
            dataset, or the annotation file is invalid.
        RuntimeError: If the checkpoint lacks weights.
    """
    if not 0 < iou_thr <= 1 or not 0 <= score_thr <= 1:
        raise ValueError(f'an IoU threshold lies in (0, 1], a score threshold in [0, 1]; got {iou_thr}, {score_thr}')
    if not 0 <= fp_score_thr <= 1:
        raise ValueError(f'the score threshold of false positives lies in [0, 1], got {fp_score_thr}')
    if max_images is not None and max_images < 1:
        raise ValueError(f'max_images must be at least 1, got {max_images}')
    init_default_scope(cfg.get('default_scope') or 'mmdet')
    recorder = build_recorder(cfg, checkpoint, device)
    names = name_views(cfg.tta_pipeline)
    dataset = _test_dataset(cfg, max_images)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(dataset.ann_file)
    loader = Runner.build_dataloader(dict(copy.deepcopy(cfg.test_dataloader), dataset=dataset), seed=0)
    seen = _Seen()
    for data in track(loader, 'Testing and matching', total=len(loader)):
        for image in recorder.record(data):
            objects = objects_of_annotations(coco, image.image_id, dataset.cat2label, image.image_wh)
            seen.left_out.update(objects.left_out)
            seen.states.append(_diagnose_recorded(objects, image, recorder, iou_thr, score_thr))
            seen.geometry.append(_geometry(image, recorder))
            seen.detections.append(kinds_of_detections(objects, image.merged, fp_score_thr, iou_thr))
    return Diagnosis(
        ObjectStates.join(seen.states),
        _views(names, np.stack(seen.geometry)),
        dataset.metainfo['classes'],
        len(seen.states),
        dict(seen.left_out),
        DetectionKinds.join(seen.detections),
        fp_score_thr,
    )


def _test_dataset(cfg: Config, max_images: int | None):
    """The test set with the TTA pipeline, cut to ``max_images``."""
    dataset_cfg = copy.deepcopy(cfg.test_dataloader.dataset)
    kind = DATASETS.get(dataset_cfg['type'])
    if kind is None or not issubclass(kind, DATASETS.get('CocoDataset')):
        raise ValueError(f'test_dataloader.dataset is a {dataset_cfg["type"]}; a CocoDataset can be diagnosed')
    dataset = DATASETS.build(dict(dataset_cfg, pipeline=copy.deepcopy(cfg.tta_pipeline), lazy_init=True))
    check_annotations(dataset.ann_file, dataset.metainfo['classes'])
    dataset.full_init()
    if len(dataset) == 0:
        raise ValueError(f'{dataset.ann_file} has no images to test')
    if max_images is not None and max_images < len(dataset):
        dataset.get_subset_(np.linspace(0, len(dataset) - 1, max_images).round().astype(int).tolist())
    return dataset


def objects_of_annotations(coco: COCO, image_id: int | str, labels: dict, image_wh: tuple[int, int]) -> ImageObjects:
    """The objects of an image that a test can find.

    Crowds are no single object, and in COCO's matching they never take a detection from one; they are left out and
    counted, as are annotations marked ``ignore``, of other classes, and without area inside the image. Boxes of crowds
    and of those marked are kept as regions to ignore.

    Args:
        coco: Annotations.
        image_id: Of the image.
        labels: Label of each category id.
        image_wh: Width and height of the image.
    """
    kept, ignored, left_out = [], [], Counter()
    for ann in coco.imgToAnns.get(image_id, []):
        reason = _reason_to_skip(ann, labels, image_wh)
        if reason is None:
            kept.append(ann)
            continue
        left_out[reason] += 1
        if reason in IGNORED_REASONS:
            ignored.append(ann)
    return ImageObjects(
        image_id,
        [a['id'] for a in kept],
        *_boxes_and_labels(kept, labels),
        dict(left_out),
        *_boxes_and_labels(ignored, labels),
    )


def _boxes_and_labels(anns: Sequence[dict], labels: dict) -> tuple[np.ndarray, np.ndarray]:
    boxes = np.array([_xyxy(a) for a in anns], np.float64).reshape(-1, 4)
    return boxes, np.array([labels[a['category_id']] for a in anns], np.int64)


def _xyxy(ann: dict) -> list[float]:
    x, y, w, h = ann['bbox']
    return [x, y, x + w, y + h]


def _reason_to_skip(ann: dict, labels: dict, image_wh: tuple[int, int]) -> str | None:
    if ann['category_id'] not in labels:
        return 'of a category that is not among the classes'
    if ann.get('iscrowd'):
        return CROWD
    if ann.get('ignore'):
        return MARKED
    shown = clip_boxes(np.array(_xyxy(ann), np.float64), image_wh)
    return None if scales_of_boxes(shown) > 0 else 'a box without area in the image'


def _diagnose_recorded(
    objects: ImageObjects, image: RecordedImage, recorder: ViewRecorder, iou_thr: float, score_thr: float
) -> ObjectStates:
    return diagnose_image(
        objects,
        image.views,
        image.merged,
        image.image_wh,
        recorder.view_filters,
        image.open_views,
        recorder.nms,
        recorder.max_per_img,
        iou_thr,
        score_thr,
    )


def _geometry(image: RecordedImage, recorder: ViewRecorder) -> np.ndarray:
    """(V, 4): the range's bounds in original pixels, the factor and the megapixels of each view."""
    chips = [chip for chip, _ in image.views]
    ranges = [f.scale_range.in_original(c) for f, c in zip(filters_of_views(recorder.view_filters, len(chips)), chips)]
    return np.array([[r.lower, r.upper, c.factor, c.num_pixels / 1e6] for r, c in zip(ranges, chips)])


def _views(names: Sequence[str], geometry: np.ndarray) -> TestedViews:
    """Sum up the (I, V, 4) geometry of all images; sizes make a view's factor differ from image to image."""
    usual = np.median(geometry, axis=0)
    if len(names) != len(usual):
        names = [f'view {i}' for i in range(len(usual))]
    # The median of infinities is NaN in some versions of NumPy.
    upper = np.where(np.isinf(geometry[..., 1]).any(axis=0), math.inf, usual[:, 1])
    return TestedViews(names, np.stack([usual[:, 0], upper], axis=1), usual[:, 2], geometry[..., 3].mean(axis=0))
