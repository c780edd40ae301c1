"""The merge of views: places, filters, suppression, cut, and what travels along."""

import numpy as np
import pytest
import torch
from mmcv.ops import batched_nms
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData
from torch import nn

from mmisn.models.test_time_augs import filters_of_views, merge_views
from mmisn.structures import Chip, ScaleRange, ViewFilter

IMAGE_WH = (200, 100)


def _detections(boxes, scores, labels=None, **fields):
    labels = [0] * len(scores) if labels is None else labels
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        scores=torch.tensor(scores, dtype=torch.float32),
        labels=torch.tensor(labels, dtype=torch.long),
        **fields,
    )


def _random_views(num_views, num_each, num_classes=5, seed=0):
    """Views of the whole image, every second one flipped, as a detector returns them."""
    rng = np.random.default_rng(seed)
    views = []
    for v in range(num_views):
        corners = rng.uniform(0, 1, (num_each, 2)) * (150, 60)
        boxes = np.concatenate([corners, corners + rng.uniform(2, 50, (num_each, 2))], axis=1)
        boxes = np.minimum(boxes, (200, 100, 200, 100))
        detections = _detections(boxes, rng.uniform(0, 1, num_each), rng.integers(0, num_classes, num_each))
        views.append((Chip.full(IMAGE_WH, (100 * (v + 1), 50 * (v + 1)), flip=v % 2 == 1), detections))
    return views


class _Detector(nn.Module):
    def test_step(self, data):
        raise AssertionError


def _det_tta(views, nms, max_per_img):
    samples = []
    for chip, detections in views:
        meta = dict(ori_shape=IMAGE_WH[::-1], flip=chip.flip, flip_direction='horizontal')
        samples.append(DetDataSample(metainfo=meta, pred_instances=detections))
    model = DetTTAModel(module=_Detector(), tta_cfg=ConfigDict(nms=nms, max_per_img=max_per_img))
    return model.merge_preds([samples])[0].pred_instances


@pytest.mark.parametrize(
    'nms',
    [
        dict(type='nms', iou_threshold=0.5),
        dict(type='nms', iou_threshold=0.3, class_agnostic=True),
        dict(type='nms', iou_threshold=0.5, split_thr=50),
    ],
)
@pytest.mark.parametrize('max_per_img', [20, 1000])
def test_hard_nms_is_exactly_det_tta_model(nms, max_per_img):
    views = _random_views(4, 60)
    expected = _det_tta(views, nms, max_per_img)
    merged = merge_views(views, IMAGE_WH, nms=nms, max_per_img=max_per_img)
    for name in ('bboxes', 'scores', 'labels'):
        assert torch.equal(merged[name], expected[name])


def test_soft_nms_agrees_with_det_tta_model():
    # DetTTAModel shifts classes apart before it computes overlaps, hence the tolerance.
    views = _random_views(4, 60)
    nms = dict(type='soft_nms', method='gaussian', sigma=0.5, min_score=1e-3)
    expected = _det_tta(views, nms, 100)
    merged = merge_views(views, IMAGE_WH)
    assert torch.equal(merged.labels, expected.labels)
    assert torch.equal(merged.bboxes, expected.bboxes)
    torch.testing.assert_close(merged.scores, expected.scores, rtol=1e-3, atol=1e-5)


def test_boxes_return_to_the_image():
    # A chip at (40, 20) of 80x40 px seen at 160x80 and flipped. The detector divides by the factor 2 itself.
    chip = Chip((40, 20, 120, 60), (160, 80), flip=True)
    in_image = np.array([[50.0, 30, 70, 50], [40, 20, 120, 60]])
    returned = chip.boxes_to_view(in_image) / 2
    merged = merge_views([(chip, _detections(returned, [0.9, 0.8]))], IMAGE_WH, nms=None)
    np.testing.assert_allclose(merged.bboxes.numpy(), in_image)


@pytest.mark.parametrize(
    ('view_filter', 'expected'),
    [
        (None, [0, 1, 2, 3]),
        # Boxes of 5, 8, 10 and 20 px are 10, 16, 20 and 40 px in a view at factor 2. Both bounds belong to the range.
        (ViewFilter(ScaleRange(16, 40)), [1, 2, 3]),
        (ViewFilter(ScaleRange(10, 20)), [0, 1, 2]),
        (ViewFilter(ScaleRange(10, 20, frame='original')), [2, 3]),
        (ViewFilter(classes=(0, 3)), [0, 3]),
    ],
)
def test_a_view_reports_what_its_filter_keeps(view_filter, expected):
    sides = [5, 8, 10, 20]
    boxes = [[30.0 * i, 10, 30.0 * i + side, 10 + side] for i, side in enumerate(sides)]
    view = (Chip.full(IMAGE_WH, (400, 200)), _detections(boxes, [0.9, 0.8, 0.7, 0.6], [0, 1, 2, 3]))
    merged = merge_views([view], IMAGE_WH, view_filter)
    assert merged.labels.tolist() == expected


def test_scale_is_judged_in_each_view():
    # 20 px in the image: 10, 20 and 40 px in the three views.
    box = [[10.0, 10, 30, 30]]
    views = [(Chip.full(IMAGE_WH, (200 * f // 2, 100 * f // 2)), _detections(box, [0.5])) for f in (1, 2, 4)]
    assert merge_views(views, IMAGE_WH, ViewFilter(ScaleRange(16, 32)), nms=None).view_ids.tolist() == [1]
    per_view = [ViewFilter(ScaleRange(0, 10)), ViewFilter(ScaleRange(21, 99)), ViewFilter(ScaleRange(40, 99))]
    assert merge_views(views, IMAGE_WH, per_view, nms=None).view_ids.tolist() == [0, 2]


def test_partial_objects_at_a_chip_edge():
    chip = Chip((100, 0, 200, 100), (200, 200))
    boxes = [[0.0, 20, 20, 40], [3, 20, 23, 40], [80, 20, 100, 40]]  # at the inner edge, 6 view px off, at the image's
    views = [(chip, _detections(boxes, [0.9, 0.8, 0.7]))]
    merged = merge_views(views, IMAGE_WH, ViewFilter(edge_margin=5), nms=None)
    assert merged.view_rows.tolist() == [1, 2]


def test_filter_comes_before_suppression():
    # The larger box is out of range; had it been suppressed with, it would have removed the smaller.
    view = (Chip.full(IMAGE_WH), _detections([[0.0, 0, 20, 20], [0, 0, 19, 20]], [0.9, 0.8]))
    hard = dict(type='nms', iou_threshold=0.5)
    assert merge_views([view], IMAGE_WH, nms=hard).view_rows.tolist() == [0]
    merged = merge_views([view], IMAGE_WH, ViewFilter(ScaleRange(0, 19.9)), hard)
    assert (merged.view_rows.tolist(), merged.scores.tolist()) == ([1], [pytest.approx(0.8)])


def test_without_nms_the_best_remain_in_order():
    views = _random_views(3, 30)
    merged = merge_views(views, IMAGE_WH, nms=None, max_per_img=40)
    everything = np.concatenate([v.scores.numpy() for _, v in views])
    np.testing.assert_array_equal(merged.scores.numpy(), np.sort(everything)[::-1][:40])


@pytest.mark.parametrize('nms', [None, dict(type='nms', iou_threshold=0.6), dict(type='soft_nms', sigma=0.55)])
def test_fields_travel_with_their_detection(nms):
    views = _random_views(3, 40)
    for v, (_, detections) in enumerate(views):
        detections.codes = torch.arange(40)[:, None] + 1000 * v + torch.zeros(40, 2, dtype=torch.long)
        detections.names = [f'{v}/{i}' for i in range(40)]
    merged = merge_views(views, IMAGE_WH, nms=nms, max_per_img=30)
    origin = list(zip(merged.view_ids.tolist(), merged.view_rows.tolist()))
    assert len(set(origin)) == 30
    assert {v for v, _ in origin} == {0, 1, 2}
    assert merged.names == [f'{v}/{i}' for v, i in origin]
    assert merged.codes.tolist() == [[1000 * v + i] * 2 for v, i in origin]
    for box, label, (v, i) in zip(merged.bboxes, merged.labels, origin):
        chip, detections = views[v]
        assert torch.equal(box, chip.rescaled_boxes_to_image(detections.bboxes[i : i + 1])[0])
        assert label == detections.labels[i]


def test_inputs_are_not_changed():
    views = _random_views(2, 10)
    before = [{k: v.clone() for k, v in d.items()} for _, d in views]
    merge_views(views, IMAGE_WH, ViewFilter(ScaleRange(10, 90)))
    for (_, after), old in zip(views, before):
        assert set(after.keys()) == set(old)
        assert all(torch.equal(after[k], old[k]) for k in old)


def test_empty_views():
    # Heads may leave optional fields out of an empty result.
    empty = (Chip.full(IMAGE_WH), _detections([], []))
    full = (Chip.full(IMAGE_WH), _detections([[0.0, 0, 9, 9]], [0.5], codes=torch.tensor([7])))
    assert merge_views([empty, full], IMAGE_WH).codes.tolist() == [7]
    for views in ([], [empty], [empty, empty]):
        merged = merge_views(views, IMAGE_WH)
        assert merged.bboxes.shape == (0, 4)
        assert (len(merged.scores), len(merged.labels), len(merged.view_ids)) == (0, 0, 0)
    nothing = merge_views([full], IMAGE_WH, ViewFilter(ScaleRange(90)))
    assert (len(nothing), nothing.codes.tolist()) == (0, [])


def test_last_class_of_many():
    boxes = [[0.0, 0, 20, 20]] * 3
    merged = merge_views([(Chip.full(IMAGE_WH), _detections(boxes, [0.9, 0.8, 0.7], [79, 78, 79]))], IMAGE_WH)
    assert merged.labels.tolist() == [79, 78, 79]
    np.testing.assert_allclose(merged.scores.numpy(), [0.9, 0.8, 0.7 * np.exp(-2)], rtol=1e-6)


def test_batched_nms_without_nms_sorts():
    # What nms=None of this merge, and of a detector with view_test_cfg, rests on.
    scores = torch.tensor([0.2, 0.9, 0.5])
    dets, order = batched_nms(torch.rand(3, 4), scores, torch.zeros(3, dtype=torch.long), None)
    assert order.tolist() == [1, 2, 0]
    assert torch.equal(dets[:, 4], scores[order])


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(nms=dict(type='softnms')), "nms.type must be 'soft_nms' or 'nms'"),
        (dict(nms=dict(iou_threshold=0.5)), "nms.type must be 'soft_nms' or 'nms'"),
        (dict(nms=dict(type='nms')), 'needs an iou_threshold'),
        (dict(nms=dict(type='soft_nms', sigm=0.5)), r"unknown options \['sigm'\]"),
        (dict(nms=dict(type='soft_nms', sigma=-1)), 'sigma must be > 0, got -1'),
        (dict(max_per_img=0), 'max_per_img must be at least 1, got 0'),
        (dict(view_filters=[ViewFilter()] * 3), '3 view filters or scale ranges for 2 views'),
    ],
)
def test_bad_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        merge_views(_random_views(2, 3), IMAGE_WH, **kwargs)


def test_pasted_masks_are_refused():
    views = _random_views(1, 3)
    views[0][1].masks = torch.zeros(3, 5, 5)
    with pytest.raises(ValueError, match=r"views with \['masks'\] cannot be merged"):
        merge_views(views, IMAGE_WH)


def test_different_fields_are_refused():
    views = _random_views(2, 3)
    views[0][1].codes = torch.zeros(3)
    with pytest.raises(ValueError, match='different fields'):
        merge_views(views, IMAGE_WH)


def test_one_filter_serves_all_views():
    rule = ViewFilter(classes=(1,))
    assert filters_of_views(rule, 3) == [rule] * 3
    assert filters_of_views(None, 2) == [ViewFilter()] * 2
