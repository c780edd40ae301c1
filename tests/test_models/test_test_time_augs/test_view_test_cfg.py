"""Opening up the last stage of a detector."""

import copy

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from torch import nn

from mmisn.models.test_time_augs import OPEN_TEST_CFG, open_test_cfg
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_fcos_cfg, tiny_retinanet_cfg


def _predict(model):
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 96, 128), dtype=np.uint8))
    meta = dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0))
    with torch.no_grad():
        return model.test_step(dict(inputs=[image], data_samples=[DetDataSample(metainfo=meta)]))[0].pred_instances


def test_faster_rcnn_reports_every_proposal_above_the_threshold():
    model = build_tiny_detector(tiny_faster_rcnn_cfg(num_classes=4))
    given, before = model.test_cfg, copy.deepcopy(model.test_cfg)
    few = len(_predict(model))
    open_test_cfg(model)
    opened = _predict(model)
    assert given == before  # it may be part of a runner's config
    # The softmax scores of the box head, computed apart, say how many there must be: 50 proposals in 4 classes.
    scores = _box_head_scores(model)
    assert scores.shape == (50, 4)
    assert few < len(opened) == int((scores > 1e-3).sum())
    torch.testing.assert_close(opened.scores, scores[scores > 1e-3].sort(descending=True).values)
    # At threshold 0, all of them: proposals times classes.
    open_test_cfg(model, dict(score_thr=0.0))
    assert len(_predict(model)) == 50 * 4
    open_test_cfg(model, dict(max_per_img=120))
    best = _predict(model).scores
    torch.testing.assert_close(best, scores.flatten().sort(descending=True).values[:120])


def _box_head_scores(model):
    seen = []
    handle = model.roi_head.bbox_head.fc_cls.register_forward_hook(lambda module, inputs, output: seen.append(output))
    _predict(model)
    handle.remove()
    return seen[0].softmax(-1)[:, :-1]


def test_faster_rcnn_settings():
    model = build_tiny_detector(tiny_faster_rcnn_cfg())
    rpn = copy.deepcopy(model.rpn_head.test_cfg)
    open_test_cfg(model)
    assert model.rpn_head.test_cfg == rpn == model.test_cfg.rpn
    assert model.roi_head.test_cfg == dict(OPEN_TEST_CFG) == model.test_cfg.rcnn


@pytest.mark.parametrize('cfg', [tiny_retinanet_cfg, tiny_fcos_cfg])
def test_dense_heads(cfg):
    model = build_tiny_detector(cfg())
    suppressed = _predict(model)
    assert len(suppressed) == 100
    open_test_cfg(model, dict(score_thr=1e-3, nms=None, max_per_img=10000))
    opened = _predict(model)
    assert len(opened) > 2 * len(suppressed)
    assert (opened.scores.diff() <= 0).all()
    assert model.bbox_head.test_cfg is model.test_cfg
    assert model.test_cfg == dict(nms_pre=200, min_bbox_size=0, score_thr=1e-3, nms=None, max_per_img=10000)
    # nms_pre cuts each of the levels before decoding; it is the head's own setting and can be opened as well.
    open_test_cfg(model, dict(nms_pre=100000))
    assert len(_predict(model)) > len(opened)


class _Head(nn.Module):
    def __init__(self, test_cfg):
        super().__init__()
        self.test_cfg = test_cfg


class _Detr(nn.Module):
    def __init__(self, test_cfg, num_queries=300):
        super().__init__()
        self.bbox_head = _Head(test_cfg)
        self.test_cfg = test_cfg
        self.num_queries = num_queries


def test_detr_is_not_asked_for_more_than_its_queries():
    given = dict(max_per_img=100)
    model = _Detr(given)
    open_test_cfg(model)
    assert model.bbox_head.test_cfg == dict(max_per_img=300) == model.test_cfg
    assert given == dict(max_per_img=100)


def test_none_changes_nothing():
    model = _Detr(dict(max_per_img=100))
    open_test_cfg(model, None)
    assert model.bbox_head.test_cfg == dict(max_per_img=100)


@pytest.mark.parametrize(
    ('model', 'view_test_cfg', 'message'),
    [
        (nn.Linear(1, 1), OPEN_TEST_CFG, 'Linear has no roi_head or bbox_head'),
        (_Detr(None), OPEN_TEST_CFG, '_Detr has no roi_head or bbox_head with a test_cfg'),
        (_Detr(dict(max_per_img=1)), dict(max_per_image=5), r"test_cfg has \['max_per_img'\]"),
        (_Detr(dict(topk=1)), OPEN_TEST_CFG, r"does not fit _Head, whose test_cfg has \['topk'\]"),
    ],
)
def test_what_does_not_fit(model, view_test_cfg, message):
    with pytest.raises(ValueError, match=message):
        open_test_cfg(model, view_test_cfg)
