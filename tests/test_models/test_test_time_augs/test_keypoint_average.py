"""Keypoints averaged over views, against sums by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import merge_views
from mmisn.models.test_time_augs.keypoint_average import average_keypoints_of_views
from mmisn.structures import Chip

IMAGE_WH = (200, 100)
FLIP_INDICES = [1, 0, 2]


def view(boxes, scores, labels, keypoints, keypoint_scores=None, view_id=None):
    # One object's may come without the first dimension.
    found = InstanceData(
        bboxes=torch.tensor(boxes).float().reshape(-1, 4),
        scores=torch.tensor(scores).float(),
        labels=torch.tensor(labels, dtype=torch.long),
        keypoints=torch.tensor(np.array(keypoints, ndmin=3)).float(),
    )
    if keypoint_scores is not None:
        found.keypoint_scores = torch.tensor(np.array(keypoint_scores, ndmin=2)).float()
    if view_id is not None:
        found.view_ids = torch.full((len(boxes),), view_id)
    return found


def iou(a, b):
    wide, high = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(wide, 0) * max(high, 0)
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def by_hand(merged, views, view_weights):
    """Loops over everything, in float64."""
    boxes, keypoints, scores = (merged[k].double().numpy() for k in ('bboxes', 'keypoints', 'keypoint_scores'))
    averaged = keypoints.copy()
    for i in range(len(boxes)):
        parts = [(keypoints[i], scores[i], view_weights[merged.view_ids[i]])]
        for of_view in views:
            same = [
                j
                for j in range(len(of_view))
                if of_view.view_ids[j] != merged.view_ids[i]
                and of_view.labels[j] == merged.labels[i]
                and iou(boxes[i], of_view.bboxes[j].tolist()) >= 0.5
            ]
            if same:
                j = max(same, key=lambda j: of_view.scores[j])
                found = (of_view[k][j].double().numpy() for k in ('keypoints', 'keypoint_scores'))
                parts.append((*found, view_weights[of_view.view_ids[j]]))
        for k in range(keypoints.shape[1]):
            weights = [max(s[k], 1e-6) * of_view for _, s, of_view in parts]
            averaged[i, k] = sum(w * p[k] for w, (p, *_) in zip(weights, parts)) / sum(weights)
    return averaged


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), counts=st.lists(st.integers(0, 12), min_size=1, max_size=4))
def test_as_by_hand(seed, counts):
    rng = np.random.default_rng(seed)
    views = []
    for view_id, count in enumerate(counts):
        corners = rng.integers(0, 2, (count, 2)) * 40 + rng.uniform(0, 6, (count, 2))
        boxes = np.hstack([corners, corners + rng.uniform(20, 30, (count, 2))])
        keypoints, scores = rng.uniform(0, 90, (count, 3, 2)), rng.uniform(0, 1, (count, 3))
        scores[rng.random((count, 3)) < 0.2] = 0
        labels = rng.integers(0, 2, count)
        views.append(view(boxes, rng.permutation(count) / 20 + 0.1, labels, keypoints, scores, view_id))
    merged = InstanceData.cat(views)[torch.from_numpy(rng.permutation(sum(counts)))]
    view_weights = rng.uniform(0.1, 16, len(views)).tolist()
    expected = by_hand(merged, views, view_weights)
    before = merged.keypoints.clone()
    averaged = average_keypoints_of_views(merged, views[::-1], view_weights)
    np.testing.assert_allclose(averaged.numpy(), expected, rtol=1e-4, atol=1e-3)
    assert torch.equal(merged.keypoints, before)


def test_views_of_an_object_share_it_in_the_merge():
    # The second view is flipped and twice as large; its left keypoint is the image's right one.
    chips = [Chip.full(IMAGE_WH, IMAGE_WH), Chip((40, 20, 140, 70), (200, 100), flip=True)]
    first = view([[50, 30, 70, 60]], [0.9], [0], [[52, 40], [66, 40], [60, 55]], [0.5, 0.5, 0.0])
    # Box and keypoints of the image, from the chip's corner, from right to left.
    second = view([[70, 10, 90, 40]], [0.8], [0], [[72, 20], [90, 20], [80, 31]], [0.5, 1.5, 0.0])
    keep = dict(nms=dict(type='nms', iou_threshold=0.6), flip_indices=FLIP_INDICES)
    plain = merge_views(list(zip(chips, [first, second])), IMAGE_WH, **keep)
    assert torch.equal(plain.keypoints, first.keypoints)
    merged = merge_views(list(zip(chips, [first, second])), IMAGE_WH, **keep, average_keypoints=True)
    # Image x of the second view, of 4 times the weight: 140 - 90 = 50 (score 1.5), 68 (0.5), 60; y: 40, 40, 51.
    expected = [[(0.5 * 52 + 6 * 50) / 6.5, 40], [(0.5 * 66 + 2 * 68) / 2.5, 40], [60, (55 + 4 * 51) / 5]]
    torch.testing.assert_close(merged.keypoints, torch.tensor([expected]))
    assert torch.equal(merged.bboxes, plain.bboxes) and torch.equal(merged.keypoint_scores, plain.keypoint_scores)


@pytest.mark.parametrize('change', ['class', 'place'])
def test_other_objects_have_no_say(change):
    first = view([[50, 30, 70, 60]], [0.9], [0], [[52, 40]], [0.5])
    other = view(
        [[50, 30, 70, 60] if change == 'class' else [50, 46, 70, 76]],
        [0.8],
        [1 if change == 'class' else 0],
        [[60, 50]],
        [0.9],
    )
    views = [(Chip.full(IMAGE_WH, IMAGE_WH), found) for found in (first, other)]
    merged = merge_views(views, IMAGE_WH, nms=None, average_keypoints=True)
    assert merged.keypoints.tolist() == [[[52, 40]], [[60, 50]]]


def test_classes_without_keypoints_and_heads_without_scores():
    none = view([[50, 30, 70, 60]], [0.9], [0], [[60, 45]], [-1])
    moved = view([[51, 30, 71, 60]], [0.8], [0], [[61, 45]], [-1])
    chip = Chip.full(IMAGE_WH, IMAGE_WH)
    keep = dict(nms=dict(type='nms', iou_threshold=0.6), average_keypoints=True)
    assert merge_views([(chip, none), (chip, moved)], IMAGE_WH, **keep).keypoints.tolist() == [[[60, 45]]]
    del none.keypoint_scores, moved.keypoint_scores
    assert merge_views([(chip, none), (chip, moved)], IMAGE_WH, **keep).keypoints.tolist() == [[[60.5, 45]]]
    # No view reports anything.
    assert len(merge_views([(chip, none[:0])], IMAGE_WH, **keep)) == 0
