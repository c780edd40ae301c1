"""Merging the boxes of several views: against mmdet's ``DetTTAModel``."""

from collections.abc import Callable

import numpy as np
import torch
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import merge_views
from mmisn.structures import Chip

from .coco_like import coco_like_objects
from .report import Row, Target
from .timing import interleaved

IMAGE_WH = (640, 480)
NUM_CLASSES = 80
NUM_VIEWS = 5
# The number with a target, then one below and one above mmcv's split_thr of 10,000, where it sweeps class by class.
NUM_BOXES = (1000, 5000, 9000, 10_000, 20_000)
NMS = dict(type='soft_nms', method='gaussian', sigma=0.5, min_score=1e-3)


def jobs(rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of each measurement."""
    cases = [*((number, 100) for number in NUM_BOXES), (9000, 9000)]
    return [(f'merging {n} boxes', lambda n=n, keep=k: [_merge_row(n, keep, rounds)]) for n, k in cases]


def drawn_detections(number: int, rng: np.random.Generator) -> list[InstanceData]:
    """Detections of five views of an image, as a detector with a score threshold of 0.001 returns them.

    Each is one of 30 objects, every side moved by a tenth of its size (standard deviation), with a class drawn from
    all 80; scores are log-uniform in [0.001, 1), so that most are low.

    Args:
        number: Detections of all views together.
        rng: Source of all numbers.
    """
    objects = coco_like_objects(1, rng, IMAGE_WH, 30)[0].boxes_xyxy
    boxes = objects[rng.integers(len(objects), size=number)]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    boxes = boxes + 0.1 * sides * rng.uniform(-1.7, 1.7, boxes.shape)
    scores = 10 ** rng.uniform(-3, 0, number)
    labels = rng.integers(NUM_CLASSES, size=number)
    return [
        InstanceData(
            bboxes=torch.from_numpy(boxes[view::NUM_VIEWS]).float(),
            scores=torch.from_numpy(scores[view::NUM_VIEWS]).float(),
            labels=torch.from_numpy(labels[view::NUM_VIEWS]),
        )
        for view in range(NUM_VIEWS)
    ]


class _NoDetector(torch.nn.Module):
    """A stand-in for the detector, which merging does not need."""

    def test_step(self, data: dict) -> list:
        return []


def build_mmdet_model(max_per_img: int) -> DetTTAModel:
    """The yardstick: mmdet's test-time augmentation with the same soft-NMS."""
    return DetTTAModel(module=_NoDetector(), tta_cfg=ConfigDict(nms=dict(NMS), max_per_img=max_per_img))


def merge_with_mmdet(model: DetTTAModel, views: list[InstanceData]) -> InstanceData:
    """Merge with mmdet; the detections are not changed."""
    meta = dict(ori_shape=IMAGE_WH[::-1], flip=False, flip_direction=None)
    samples = [DetDataSample(metainfo=meta, pred_instances=view) for view in views]
    return model.merge_preds([samples])[0].pred_instances


def _merge_row(number: int, max_per_img: int, rounds: int) -> Row:
    views = drawn_detections(number, np.random.default_rng(0))
    chips = [Chip.full(IMAGE_WH, tuple(round(s * f) for s in IMAGE_WH)) for f in (4, 2, 1, 0.5, 0.25)]
    model = build_mmdet_model(max_per_img)
    times = interleaved(
        dict(
            ours=lambda views: merge_views(list(zip(chips, views)), IMAGE_WH, nms=NMS, max_per_img=max_per_img),
            mmdet=lambda views: merge_with_mmdet(model, views),
        ),
        [views],
        max(2, rounds // 2),
    )
    return Row(
        f'merge {number:,} boxes of {NUM_CLASSES} classes, {NUM_VIEWS} views, {max_per_img:,} kept',
        f'{1e3 * times["ours"]:.1f} ms',
        f'mmdet DetTTAModel, soft-NMS, {1e3 * times["mmdet"]:.1f} ms',
        times['mmdet'] / times['ours'],
        Target(5, at_least=True) if (number, max_per_img) == (9000, 100) else None,
    )
