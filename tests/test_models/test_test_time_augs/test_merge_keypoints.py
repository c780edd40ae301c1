"""Keypoints of several views come back to the image with their boxes, left and right in their places."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmisn.models.detectors import ChipDetector
from mmisn.models.test_time_augs import ScaleRangeTTAModel, merge_views
from mmisn.structures import Chip, ScaleRange, ViewFilter

IMAGE_WH = (200, 100)
FLIP_INDICES = [0, 2, 1, 4, 3]
CHIPS = [
    Chip.full(IMAGE_WH, (400, 200)),
    Chip((40, 20, 120, 60), (160, 80), flip=True),
    Chip((10, 10, 170, 90), (80, 40), flip=True),
]


def _objects(seed=0, num=4):
    """Objects of the image that all chips show: boxes, keypoints, scores of keypoints."""
    rng = np.random.default_rng(seed)
    corners = rng.integers([42, 22], [90, 40], (num, 2))
    boxes = np.concatenate([corners, corners + rng.integers(8, 16, (num, 2))], axis=1).astype(float)
    keypoints = rng.integers(44, 60, (num, 5, 2)).astype(float)
    return boxes, keypoints, rng.uniform(0, 1, (num, 5))


def _seen(chip, boxes, keypoints, keypoint_scores):
    """What a detector returns for a view: mirrored by hand, divided by the factor, left called right."""
    x1, y1, x2, _ = chip.xyxy
    boxes, keypoints, keypoint_scores = boxes - (x1, y1, x1, y1), keypoints - (x1, y1), keypoint_scores.copy()
    if chip.flip:
        width = x2 - x1
        boxes = boxes.copy()
        boxes[:, [0, 2]] = width - boxes[:, [2, 0]]
        keypoints[..., 0] = width - keypoints[..., 0]
        keypoints, keypoint_scores = keypoints[:, FLIP_INDICES], keypoint_scores[:, FLIP_INDICES]
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32),
        keypoints=torch.tensor(keypoints, dtype=torch.float32),
        keypoint_scores=torch.tensor(keypoint_scores, dtype=torch.float32),
        scores=torch.linspace(0.9, 0.5, len(boxes)),
        labels=torch.zeros(len(boxes), dtype=torch.long),
    )


@pytest.mark.parametrize('chip', CHIPS)
def test_keypoints_return_to_the_image(chip):
    boxes, keypoints, keypoint_scores = _objects()
    view = _seen(chip, boxes, keypoints, keypoint_scores)
    before = {k: v.clone() for k, v in view.items()}
    merged = merge_views([(chip, view)], IMAGE_WH, nms=None, flip_indices=FLIP_INDICES)
    assert torch.equal(merged.keypoints, torch.tensor(keypoints, dtype=torch.float32))
    assert torch.equal(merged.keypoint_scores, torch.tensor(keypoint_scores, dtype=torch.float32))
    assert torch.equal(merged.bboxes, torch.tensor(boxes, dtype=torch.float32))
    assert all(torch.equal(view[k], v) for k, v in before.items())


def test_keypoints_travel_with_their_box():
    objects = [_objects(seed) for seed in range(3)]
    views = [(chip, _seen(chip, *o)) for chip, o in zip(CHIPS, objects)]
    rule = ViewFilter(ScaleRange(9, 100, frame='original'))
    merged = merge_views(views, IMAGE_WH, rule, dict(type='nms', iou_threshold=0.4), 8, FLIP_INDICES)
    assert 3 < len(merged) <= 8 and len(set(merged.view_ids.tolist())) > 1
    for i, (v, row) in enumerate(zip(merged.view_ids.tolist(), merged.view_rows.tolist())):
        assert torch.equal(merged.keypoints[i], torch.tensor(objects[v][1][row], dtype=torch.float32))
        assert torch.equal(merged.keypoint_scores[i], torch.tensor(objects[v][2][row], dtype=torch.float32))


def test_keypoints_without_scores_and_empty_views():
    view = _seen(CHIPS[1], *_objects())
    del view.keypoint_scores
    merged = merge_views([(CHIPS[1], view)], IMAGE_WH, nms=None, flip_indices=FLIP_INDICES)
    assert torch.equal(merged.keypoints, torch.tensor(_objects()[1], dtype=torch.float32))
    assert 'keypoint_scores' not in merged
    none = merge_views([(CHIPS[1], view[:0])], IMAGE_WH, flip_indices=FLIP_INDICES)
    assert none.keypoints.shape == (0, 5, 2)


def test_a_flipped_view_needs_flip_indices():
    views = [(chip, _seen(chip, *_objects())) for chip in CHIPS]
    assert len(merge_views(views[:1], IMAGE_WH)) == 4
    for wrong in (None, [0, 1, 2], [0, 1, 1, 2, 3]):
        with pytest.raises(ValueError, match='needs flip_indices, a permutation of the 5 keypoints'):
            merge_views(views, IMAGE_WH, flip_indices=wrong)


class _Detector(nn.Module):
    """Sees three objects in each chip, exactly."""

    def __init__(self):
        super().__init__()
        self.roi_head = nn.Identity()
        self.roi_head.test_cfg = ConfigDict(score_thr=0.05)

    def test_step(self, data):
        for sample in data['data_samples']:
            sample.pred_instances = _seen(sample.chip, *_objects())
        return data['data_samples']


class _Chips:
    def views(self, image_wh, predict=None):
        return CHIPS


@pytest.mark.parametrize('source', ['metainfo', 'dataset_meta'])
def test_both_ways_of_testing(source):
    meta = dict(img_id=3, ori_shape=(100, 200), img_shape=(100, 200))
    told = dict(flip_indices=FLIP_INDICES) if source == 'metainfo' else {}
    hard = dict(type='nms', iou_threshold=0.99)
    detector = ChipDetector(_Detector(), _Chips(), nms=hard)
    if source == 'dataset_meta':
        detector.dataset_meta = dict(flip_indices=FLIP_INDICES)
    data = dict(
        inputs=[torch.zeros(3, 100, 200, dtype=torch.uint8)], data_samples=[DetDataSample(metainfo=meta | told)]
    )
    results = [detector.test_step(data)[0]]
    if source == 'metainfo':
        samples = [[DetDataSample(metainfo=dict(meta | told, chip=chip))] for chip in CHIPS]
        tta = ScaleRangeTTAModel(_Detector(), nms=hard)
        results += tta.test_step(dict(inputs=[[None]] * 3, data_samples=samples))
    for result in results:
        found = result.pred_instances
        order = found.bboxes[:, 0].argsort()
        boxes, keypoints, keypoint_scores = (torch.tensor(v, dtype=torch.float32) for v in _objects())
        wanted = boxes[:, 0].argsort()
        assert torch.equal(found.bboxes[order], boxes[wanted])
        assert torch.equal(found.keypoints[order], keypoints[wanted])
        assert torch.equal(found.keypoint_scores[order], keypoint_scores[wanted])
