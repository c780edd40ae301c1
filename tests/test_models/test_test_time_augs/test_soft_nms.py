"""Soft-NMS against a plain float64 write-up of its paper, and the three surprises of mmcv's operator."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import batched_nms, soft_nms

from mmisn.models.test_time_augs import soft_nms as soft_nms_module
from mmisn.models.test_time_augs import soft_nms_per_class


def _iou(a, b):
    w = min(a[2], b[2]) - max(a[0], b[0])
    h = min(a[3], b[3]) - max(a[1], b[1])
    inter = max(w, 0) * max(h, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - inter
    return inter / union if union > 0 else 0.0


def _reference(boxes, scores, labels, sigma, min_score, method='gaussian', iou_threshold=0.3):
    """Soft-NMS, one class after the other: pick the best, lower the rest, forget those below ``min_score``."""
    decays = dict(
        gaussian=lambda o: math.exp(-o * o / sigma),
        linear=lambda o: 1 - o if o >= iou_threshold else 1.0,
        naive=lambda o: 0.0 if o >= iou_threshold else 1.0,
    )
    found = []
    for label in sorted(set(labels)):
        left = {i: s for i, s in enumerate(scores) if labels[i] == label and s >= min_score}
        while left:
            best = max(left, key=left.get)
            found.append((left.pop(best), best))
            left = {i: s * decays[method](_iou(boxes[best], boxes[i])) for i, s in left.items()}
            left = {i: s for i, s in left.items() if s >= min_score}
    return sorted(found, reverse=True)


def _crowd(num, num_classes, seed=0, side=200):
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, side, (num, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 80, (num, 2))], axis=1).astype(np.float32)
    # No two scores are equal, so there is one right order.
    scores = (rng.permutation(num) + 1).astype(np.float32) / (num + 1)
    return torch.from_numpy(boxes), torch.from_numpy(scores), torch.from_numpy(rng.integers(0, num_classes, num))


@pytest.mark.parametrize(
    'options',
    [
        dict(sigma=0.5, min_score=1e-3),
        dict(sigma=0.55, min_score=0.2),
        dict(sigma=0.5, min_score=1e-3, method='linear', iou_threshold=0.3),
        dict(sigma=0.5, min_score=1e-3, method='naive', iou_threshold=0.5),
    ],
)
@pytest.mark.parametrize('num_classes', [1, 7])
def test_equals_the_paper(options, num_classes):
    boxes, scores, labels = _crowd(150, num_classes)
    expected = _reference(boxes.double().tolist(), scores.double().tolist(), labels.tolist(), **options)
    final, indices = soft_nms_per_class(boxes, scores, labels, **options)
    assert indices.tolist() == [i for _, i in expected]
    np.testing.assert_allclose(final.numpy(), [s for s, _ in expected], rtol=2e-5)


def test_two_boxes_by_hand():
    # The second box overlaps the first by IoU 0.5: 0.8 * exp(-0.25 / 0.5). The third is of another class.
    boxes = torch.tensor([[0.0, 0, 10, 20], [0, 0, 10, 10], [0, 0, 10, 20]])
    final, indices = soft_nms_per_class(boxes, torch.tensor([0.9, 0.8, 0.7]), torch.tensor([4, 4, 0]))
    assert indices.tolist() == [0, 2, 1]
    np.testing.assert_allclose(final.numpy(), [0.9, 0.7, 0.8 * math.exp(-0.5)], rtol=1e-6)


def test_best_of_a_class_below_min_score_is_dropped():
    boxes, labels = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]]), torch.tensor([0, 1])
    final, indices = soft_nms_per_class(boxes, torch.tensor([0.5, 0.05]), labels, min_score=0.1)
    assert (final.tolist(), indices.tolist()) == ([0.5], [0])
    # The operator alone keeps it; should mmcv change, this guard can go.
    assert len(soft_nms(boxes[1:], torch.tensor([0.05]), min_score=0.1, method='gaussian')[1]) == 1


def test_score_at_min_score_is_kept():
    scores = torch.tensor([0.25, 0.125])
    boxes = torch.tensor([[0.0, 0, 10, 10], [50, 50, 60, 60]])
    assert soft_nms_per_class(boxes, scores, torch.zeros(2, dtype=torch.long), min_score=0.125)[0].tolist() == [
        0.25,
        0.125,
    ]


def test_boxes_without_area_keep_their_scores():
    point = [5.0, 5, 5, 5]
    tiny = [0.0, 0, 1e-30, 1e-30]  # its area is 0 in float32
    boxes = torch.tensor([point, point, [0.0, 0, 10, 10], point, [3.0, 3, 3, 9], tiny, tiny])
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3])
    final, indices = soft_nms_per_class(boxes, scores, torch.zeros(7, dtype=torch.long))
    assert indices.tolist() == list(range(7))
    assert torch.equal(final, scores)
    # Two of them turn the operator's scores into NaN.
    assert soft_nms(boxes[:2], scores[:2], method='gaussian')[0][:, 4].isnan().any()


def test_classes_do_not_meet_at_negative_coordinates():
    boxes, scores = torch.tensor([[0.0, 0, 10, 10], [-11, -11, -1, -1]]), torch.tensor([0.9, 0.8])
    labels = torch.tensor([0, 1])
    # batched_nms shifts class 1 by the largest coordinate + 1 = 11, onto the box of class 0.
    assert len(batched_nms(boxes, scores, labels, dict(type='nms', iou_threshold=0.5))[1]) == 1
    final, _ = soft_nms_per_class(boxes, scores, labels)
    np.testing.assert_allclose(final.numpy(), [0.9, 0.8], rtol=1e-6)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float64])
def test_other_precisions(dtype):
    boxes, scores, labels = _crowd(60, 3)
    final, indices = soft_nms_per_class(boxes.to(dtype), scores.to(dtype), labels)
    expected, _ = soft_nms_per_class(boxes.to(dtype).float(), scores.to(dtype).float(), labels)
    assert final.dtype == dtype
    assert torch.equal(final, expected.to(dtype))
    assert indices.dtype == torch.long


def test_nothing_to_suppress():
    none = soft_nms_per_class(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long))
    assert [len(t) for t in none] == [0, 0]
    low = soft_nms_per_class(torch.tensor([[0.0, 0, 9, 9]]), torch.tensor([1e-4]), torch.tensor([79]))
    assert [len(t) for t in low] == [0, 0]


@settings(deadline=None, max_examples=40)
@given(
    num=st.integers(1, 120),
    num_classes=st.integers(1, 4),
    max_keep=st.integers(1, 20),
    method=st.sampled_from(['gaussian', 'linear', 'naive']),
    seed=st.integers(0, 10**6),
)
def test_max_keep_equals_cutting_the_full_result(num, num_classes, max_keep, method, seed):
    boxes, scores, labels = _crowd(num, num_classes, seed, side=60)
    full = soft_nms_per_class(boxes, scores, labels, method=method)
    first_sweep = soft_nms_module._FIRST_SWEEP
    try:
        # So small that the first sweep often does not suffice.
        soft_nms_module._FIRST_SWEEP = 2
        cut = soft_nms_per_class(boxes, scores, labels, method=method, max_keep=max_keep)
    finally:
        soft_nms_module._FIRST_SWEEP = first_sweep
    # Equal scores (0 of "naive") have no order of their own.
    assert torch.equal(cut[0], full[0][:max_keep])
    if len(set(full[0].tolist())) == len(full[0]):
        assert torch.equal(cut[1], full[1][:max_keep])


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(sigma=0), 'sigma must be > 0, got 0'),
        (dict(sigma=float('nan')), 'sigma must be > 0, got nan'),
        (dict(min_score=-1), 'min_score must be >= 0, got -1'),
        (dict(method='cosine'), "got 'cosine'"),
        (dict(iou_threshold=2), 'iou_threshold must lie in .* got 2'),
    ],
)
def test_bad_options(option, message):
    with pytest.raises(ValueError, match=message):
        soft_nms_per_class(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.long), **option)
