"""A detector of several classes of which only some have keypoints."""

import cv2
import numpy as np
import pytest
import torch
from keypoint_detectors import keypoint_cfg, sample
from mmengine.structures import InstanceData

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.wrap import detect_image
from mmisn.models.roi_heads.keypoint_classes import keypoint_labels
from mmisn.testing.detectors import build_tiny_detector

KINDS = ('offset', 'one-hot')
CLASSES = ('ship', 'car', 'person')
BOX, POINTS = [20.0, 30.0, 80.0, 110.0], [[30.0, 40.0], [50.0, 70.0], [75.0, 105.0]]
OTHER, OTHER_POINTS = [85.0, 10.0, 125.0, 60.0], [[90.0, 20.0], [100.0, 30.0], [120.0, 55.0]]


def detector(kind, keypoint_classes=('person',), **changes):
    """Ships and cars without keypoints, persons, the last class, with three."""
    cfg = keypoint_cfg(kind, num_classes=3)
    cfg.roi_head.update(keypoint_classes=keypoint_classes, classes=CLASSES, **changes)
    return build_tiny_detector(cfg)


def features(batch):
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(batch, 16, 128 // s, 128 // s, generator=generator) for s in (4, 8, 16, 32, 64))


def proposals(*boxes):
    return InstanceData(bboxes=torch.tensor(boxes).reshape(-1, 4), scores=torch.ones(len(boxes)))


def labelled(boxes, points, labels):
    made = sample(boxes, points, [[2, 2, 2]] * len(boxes))
    made.gt_instances.labels = torch.tensor(labels)
    return made


def test_labels_by_names_and_indices():
    assert keypoint_labels(None, 1) == (0,)
    assert keypoint_labels([2, 0], 3) == (0, 2)
    assert keypoint_labels(['person', 'ship'], 3, CLASSES) == (0, 2)
    assert keypoint_labels(('person', 1), 3, CLASSES) == (1, 2)
    # COCO's names are known.
    assert keypoint_labels(['person', 'toothbrush'], 80) == (0, 79)
    assert keypoint_labels(['face'], 1, ['face']) == (0,)


@pytest.mark.parametrize(
    ('given', 'num_classes', 'classes', 'match'),
    [
        (None, 3, CLASSES, 'a detector of 3 classes needs keypoint_classes, a list .* got None'),
        ([], 3, CLASSES, r'needs keypoint_classes, .* got \[\]'),
        ('person', 3, CLASSES, "needs keypoint_classes, a list of the names .* got 'person'"),
        (['person'], 3, None, "names 'person': give classes, the names of the 3 classes"),
        (['dog'], 3, CLASSES, "names 'dog', the classes are"),
        ([3], 3, CLASSES, 'indices from 0 to 2, got 3'),
        ([-1], 3, CLASSES, 'indices from 0 to 2, got -1'),
        ([True], 3, CLASSES, 'indices from 0 to 2, got True'),
        ([1.0], 3, CLASSES, 'indices from 0 to 2, got 1.0'),
        (['person', 2], 3, CLASSES, 'has a class twice'),
        ([0], 3, CLASSES[:2], 'classes must be the 3 names of the classes, got 2'),
    ],
)
def test_wrong_classes_are_refused(given, num_classes, classes, match):
    with pytest.raises(ValueError, match=match):
        keypoint_labels(given, num_classes, classes)
    cfg = keypoint_cfg('offset', num_classes=num_classes)
    cfg.roi_head.update(keypoint_classes=given, classes=classes)
    with pytest.raises(ValueError, match=match):
        build_tiny_detector(cfg)


@pytest.mark.parametrize('kind', KINDS)
def test_only_classes_with_keypoints_are_trained_on(kind, monkeypatch):
    """The ship has labelled keypoints of its own, as in a file whose classes are not described."""
    head = detector(kind).roi_head
    calls, loss = [], head.keypoint_head.loss
    monkeypatch.setattr(
        head.keypoint_head, 'loss', lambda p, *targets: calls.append([t.tolist() for t in targets]) or loss(p, *targets)
    )
    samples = [labelled([OTHER, BOX], [OTHER_POINTS, POINTS], [2, 0]), labelled([BOX], [POINTS], [2])]
    head.loss(features(2), [proposals(BOX, OTHER), proposals(BOX)], samples)
    rois, keypoints, _ = calls.pop()
    # Objects are among the proposals themselves.
    assert sorted(rois) == sorted([OTHER, OTHER, BOX, BOX])
    assert sorted(keypoints) == sorted([OTHER_POINTS, OTHER_POINTS, POINTS, POINTS])
    # Ships alone: no loss, but all weights stay in the graph.
    losses = head.loss(features(1), [proposals(BOX)], [labelled([BOX], [POINTS], [0])])
    assert calls == [[[], [], []]]
    keypoint_losses = [value for name, value in losses.items() if 'keypoint' in name]
    sum(keypoint_losses).backward()
    assert not any(keypoint_losses)
    assert all(weight.grad is not None for weight in head.keypoint_head.parameters())


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('rescale', [False, True])
def test_predictions_of_a_batch(kind, rescale):
    """Persons have the keypoints that they have without the others; images of ships and without anything are there."""
    head = detector(kind).roi_head
    metas = [dict(scale_factor=(2.0, 1.6)), dict(scale_factor=(0.5, 0.5))] * 2
    boxes = torch.tensor([BOX, OTHER, [0.0, 0.0, 40.0, 40.0], [22.0, 30.0, 80.0, 111.0]])
    labels = [torch.tensor([0, 2, 1, 2]), torch.tensor([2, 1, 2, 0]), torch.tensor([0, 1]), torch.tensor([]).long()]

    def detections(persons_only):
        made = []
        for of_image, meta in zip(labels, metas):
            factor = torch.tensor(meta['scale_factor']).repeat(2) if rescale else 1
            every = InstanceData(
                bboxes=boxes[: len(of_image)] / factor,
                scores=torch.linspace(0.9, 0.3, len(of_image)),
                labels=of_image,
            )
            made.append(every[of_image == 2] if persons_only else every)
        return made

    with torch.no_grad():
        found = head.predict_keypoint(features(4), metas, detections(False), rescale=rescale)
        alone = head.predict_keypoint(features(4), metas, detections(True), rescale=rescale)
    for of_image, all_found, persons in zip(labels, found, alone):
        is_person = of_image == 2
        assert all_found.keypoints.shape == (len(of_image), 3, 2)
        torch.testing.assert_close(all_found.keypoints[is_person], persons.keypoints)
        torch.testing.assert_close(all_found.keypoint_scores[is_person], persons.keypoint_scores)
        assert (persons.keypoint_scores >= 0).all()
        others = all_found[~is_person]
        centers = (others.bboxes[:, :2] + others.bboxes[:, 2:]) / 2
        torch.testing.assert_close(others.keypoints, centers[:, None].expand(-1, 3, 2))
        assert (others.keypoint_scores == -1).all()


def test_the_head_sees_no_other_classes(monkeypatch):
    head = detector('offset').roi_head
    seen, forward = [], head.keypoint_head.forward
    monkeypatch.setattr(head.keypoint_head, 'forward', lambda x: seen.append(len(x)) or forward(x))
    for labels in ([0, 2, 1], [0, 1, 1]):
        found = InstanceData(bboxes=torch.tensor([BOX, OTHER, BOX]), scores=torch.ones(3), labels=torch.tensor(labels))
        head.predict_keypoint(features(1), [{}], [found])
    assert seen == [1, 0]


def test_one_class_is_as_before():
    """Named or not, in a detector of one class all detections have keypoints."""
    found = InstanceData(bboxes=torch.tensor([BOX, OTHER]), scores=torch.ones(2), labels=torch.zeros(2).long())
    results = []
    for changes in ({}, dict(keypoint_classes=[0])):
        cfg = keypoint_cfg('offset')
        cfg.roi_head.update(changes)
        head = build_tiny_detector(cfg).roi_head
        results.append(head.predict_keypoint(features(1), [{}], [found.clone()])[0])
    assert torch.equal(results[0].keypoints, results[1].keypoints)
    assert (results[0].keypoint_scores >= 0).all()


def test_through_the_merge_of_flipped_views(tmp_path):
    model = ChipDetector(detector('offset'), PyramidChips([2.0, 1.0], flips=[False, True]), max_per_img=200).eval()
    model.dataset_meta = dict(flip_indices=[0, 2, 1])
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
    found = detect_image(model, cv2.blur(pixels, (3, 3))).pred_instances
    is_person = found.labels == 2
    assert 0 < is_person.sum() < len(found)
    assert (found.keypoint_scores[is_person] >= 0).all() and (found.keypoint_scores[~is_person] == -1).all()
    centers = (found.bboxes[:, :2] + found.bboxes[:, 2:]) / 2
    torch.testing.assert_close(
        found.keypoints[~is_person], centers[~is_person, None].expand(-1, 3, 2), atol=1e-3, rtol=0
    )
