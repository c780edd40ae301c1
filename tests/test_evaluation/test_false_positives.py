"""Kinds of detections on hand-made boxes, at the boundaries of each kind, and against a loop written out."""

import math

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.evaluation.false_positives import (
    BACKGROUND,
    KINDS,
    LOOSE,
    OTHER_CLASS,
    PART,
    TRUE,
    TWICE,
    DetectionKinds,
    kinds_of_detections,
)
from mmisn.evaluation.report_matching import IN_IGNORED_REGION, UNMATCHED, box_overlaps, match_detections
from mmisn.evaluation.view_diagnosis import ImageObjects


def _objects(*rows, ignored=(), image_id=7):
    """Objects, and regions to ignore: rows of x1, y1, x2, y2, label."""
    table, regions = (np.array(r, np.float64).reshape(-1, 5) for r in (rows, ignored))
    labels, region_labels = table[:, 4].astype(int), regions[:, 4].astype(int)
    return ImageObjects(image_id, list(range(len(table))), table[:, :4], labels, {}, regions[:, :4], region_labels)


def _merged(*rows, dtype=torch.float32):
    """Detections: rows of x1, y1, x2, y2, label, score, in views 0, 1, 0, 1, ..."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return InstanceData(
        bboxes=torch.tensor(table[:, :4], dtype=dtype),
        labels=torch.tensor(table[:, 4], dtype=torch.long),
        scores=torch.tensor(table[:, 5], dtype=dtype),
        view_ids=torch.arange(len(table)) % 2,
    )


def _kinds(objects, *rows, **kwargs):
    return kinds_of_detections(objects, _merged(*rows), **kwargs).kinds.tolist()


OBJECT = (0, 0, 10, 10, 0)


def test_every_kind():
    objects = _objects((0, 0, 100, 100, 0), (200, 0, 300, 100, 1))
    detections = [
        (0, 0, 100, 98, 0, 0.9),
        (0, 0, 100, 97, 0, 0.8),
        (200, 0, 300, 99, 0, 0.7),
        (200, 0, 300, 40, 1, 0.6),
        (20, 20, 50, 50, 0, 0.5),
        (220, 20, 250, 50, 0, 0.5),
        (400, 0, 420, 80, 1, 0.4),
        (200, 0, 300, 100, 1, 0.31),
        (200, 0, 300, 100, 1, 0.29),
    ]
    found = kinds_of_detections(objects, _merged(*detections))
    # The last but one finds the second object; the last has too low a score.
    assert found.kinds.tolist() == [TRUE, TWICE, OTHER_CLASS, LOOSE, PART, PART, BACKGROUND, TRUE]
    assert len(found) == 8
    np.testing.assert_allclose(found.scales[[0, 3, 4, 6]], np.sqrt([9800, 4000, 900, 1600]))
    assert found.view_ids.tolist() == [0, 1] * 4
    assert found.labels.tolist() == [0, 0, 0, 1, 0, 0, 1, 1]
    np.testing.assert_allclose(found.scores, [d[5] for d in detections[:-1]], rtol=1e-6)
    assert found.image_ids.tolist() == [7] * 8
    assert found.num_ignored == 0


def test_earlier_kinds_go_first():
    # Two objects of different classes in the same place: what is twice of one also fits the other.
    both = _objects((0, 0, 10, 10, 0), (0, 0, 10, 10, 1))
    assert _kinds(both, (0, 0, 10, 10, 0, 0.9), (0, 0, 10, 10, 0, 0.8), (0, 0, 10, 4, 0, 0.7)) == [TRUE, TWICE, LOOSE]
    # A loose box that is a part too: IoU 0.4 and all of it inside.
    assert _kinds(_objects(OBJECT), (0, 0, 10, 4, 0, 0.9)) == [LOOSE]
    # It fits one of another class, and is loose around one of its own.
    other = _objects((0, 0, 10, 10, 1), (0, 0, 10, 20, 0))
    assert _kinds(other, (0, 0, 10, 9, 0, 0.9)) == [OTHER_CLASS]


@pytest.mark.parametrize(('height', 'iou_thr', 'expected'), [(5, 0.5, TRUE), (4.999, 0.5, LOOSE), (6, 0.6, TRUE)])
def test_iou_at_the_threshold(height, iou_thr, expected):
    assert _kinds(_objects(OBJECT), (0, 0, 10, height, 0, 0.9), iou_thr=iou_thr) == [expected]


def test_thresholds_of_the_other_kinds():
    first = (0, 0, 10, 10, 0, 0.9)
    assert _kinds(_objects(OBJECT), first, (0, 0, 10, 5, 0, 0.8)) == [TRUE, TWICE]
    assert _kinds(_objects(OBJECT), first, (0, 0, 10, 4.999, 0, 0.8)) == [TRUE, LOOSE]
    assert _kinds(_objects(OBJECT), (0, 0, 10, 5, 1, 0.8)) == [OTHER_CLASS]
    # Of another class, and no longer fitting: half of the object's area is a part of it, more is not.
    assert _kinds(_objects(OBJECT), (0, 0, 10, 4.999, 1, 0.8)) == [PART]
    assert _kinds(_objects(OBJECT), (-1, 0, 9, 5.1, 1, 0.8)) == [BACKGROUND]
    assert _kinds(_objects(OBJECT), (0, 0, 10, 3, 0, 0.8)) == [LOOSE]
    assert _kinds(_objects(OBJECT), (0, 0, 10, 2.999, 0, 0.8)) == [PART]
    # An IoU of 1 fits where 1 is asked for; with less it is loose.
    assert _kinds(_objects(OBJECT), first, first, iou_thr=1.0) == [TRUE, TWICE]
    assert _kinds(_objects(OBJECT), (0, 0, 10, 9.99, 0, 0.9), iou_thr=1.0) == [LOOSE]


def test_parts():
    large = _objects((0, 0, 20, 20, 0))
    # 7 of 10 columns lie inside.
    assert _kinds(large, (13, 0, 23, 10, 0, 0.9)) == [PART]
    assert _kinds(large, (13.01, 0, 23.01, 10, 0, 0.9)) == [BACKGROUND]
    assert _kinds(large, (13, 0, 23, 10, 1, 0.9)) == [PART]
    # 14x10 px to 28x10 px: sqrt(2) in scale. As the object has two thirds of its length, both overlap by less than 0.5.
    lying = _objects((0, 0, 28, 10, 1))
    assert _kinds(lying, (-3, 0, 11, 10, 0, 0.9)) == [PART]
    assert _kinds(lying, (-3, 0, 11, 10.001, 0, 0.9)) == [BACKGROUND]
    # Two halves of two objects are no part of one.
    assert _kinds(_objects((0, 0, 20, 20, 0), (20, 0, 40, 20, 0)), (15, 5, 25, 15, 0, 0.9)) == [BACKGROUND]


def test_ties_go_to_the_first():
    assert _kinds(_objects(OBJECT), (0, 0, 10, 8, 0, 0.5), (0, 0, 10, 10, 0, 0.5)) == [TRUE, TWICE]
    assert _kinds(_objects(OBJECT), (0, 0, 10, 8, 0, 0.5), (0, 0, 10, 10, 0, 0.6)) == [TWICE, TRUE]
    # A detection with the score of the threshold counts.
    assert _kinds(_objects(OBJECT), (0, 0, 10, 8, 0, 0.3), score_thr=0.3) == [TRUE]


def test_nothing_annotated_or_nothing_found():
    assert _kinds(_objects(), (0, 0, 10, 8, 0, 0.5), (0, 0, 10, 8, 1, 0.5)) == [BACKGROUND] * 2
    for objects in (_objects(), _objects(OBJECT), _objects(ignored=[OBJECT])):
        none = kinds_of_detections(objects, _merged())
        assert len(none) == 0
        assert none.num_ignored == 0
    # A box without area lies in nothing, and is no false positive less for it.
    inverted = kinds_of_detections(_objects(OBJECT), _merged((9, 5, 5, 9, 0, 0.9)))
    assert (inverted.kinds.tolist(), inverted.scales.tolist(), inverted.num_ignored) == ([BACKGROUND], [0], 0)
    point = kinds_of_detections(_objects(OBJECT), _merged((5, 5, 5, 9, 0, 0.9)))
    assert (point.kinds.tolist(), point.scales.tolist()) == ([BACKGROUND], [0])


def test_ignored_regions():
    region = _objects((0, 0, 10, 10, 0), ignored=[(100, 0, 200, 100, 0), (0, 0, 12, 12, 0)])
    rows = [
        (100, 0, 110, 10, 0, 0.9),  # inside
        (195, 0, 205, 10, 0, 0.9),  # half of it inside
        (195.01, 0, 205.01, 10, 0, 0.9),  # less
        (100, 0, 110, 10, 1, 0.9),  # of another class
        (0, 0, 10, 10, 0, 0.9),  # an object goes first
        (0, 0, 10, 10, 0, 0.8),  # a second box of it lies in a region
        (150, 0, 160, 10, 0, 0.2),  # below the threshold
    ]
    found = kinds_of_detections(region, _merged(*rows))
    assert found.kinds.tolist() == [BACKGROUND, BACKGROUND, TRUE]
    assert found.view_ids.tolist() == [0, 1, 0]
    assert found.num_ignored == 3
    assert len(found.image_ids) == len(found.labels) == len(found.scores) == len(found.scales) == 3
    matched = match_detections(
        region.boxes_xyxy, region.labels, [_merged(*rows)], 0.5, region.ignored_xyxy, region.ignored_labels
    )
    ignored = IN_IGNORED_REGION
    assert matched[0].tolist() == [ignored, ignored, UNMATCHED, UNMATCHED, 0, ignored, ignored]
    # A region alone, without an object of any class.
    alone = kinds_of_detections(_objects(ignored=[(0, 0, 9, 9, 3)]), _merged((0, 0, 5, 5, 3, 0.9), (0, 0, 5, 5, 0, 1)))
    assert (alone.kinds.tolist(), alone.labels.tolist(), alone.num_ignored) == ([BACKGROUND], [0], 1)


def test_images_are_joined_in_order():
    first = kinds_of_detections(_objects(OBJECT, ignored=[(50, 0, 60, 10, 0)]), _merged((50, 0, 55, 5, 0, 0.9)))
    second = kinds_of_detections(
        _objects(OBJECT, image_id='b'), _merged((0, 0, 10, 10, 0, 0.9), (50, 0, 59, 9, 0, 0.4))
    )
    third = kinds_of_detections(
        _objects(image_id=9, ignored=[OBJECT]), _merged((0, 0, 5, 5, 0, 1), (50, 0, 54, 4, 0, 1))
    )
    joined = DetectionKinds.join([first, second, third])
    assert joined.image_ids.tolist() == ['b', 'b', 9]
    assert joined.kinds.tolist() == [TRUE, BACKGROUND, BACKGROUND]
    assert joined.scales.tolist() == [10, 9, 4]
    assert joined.num_ignored == 2


def _overlap(a, b):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    return w * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))


def _area(a):
    return (a[2] - a[0]) * (a[3] - a[1])


def _iou(a, b):
    return _overlap(a, b) / (_area(a) + _area(b) - _overlap(a, b))


def _plain_kinds(gts, regions, rows, score_thr, iou_thr):
    """One detection after the other, best first; None for those that are not counted."""
    kinds, taken = [None] * len(rows), set()
    for i in sorted(range(len(rows)), key=lambda i: (-rows[i][5], i)):
        box, label, score = rows[i][:4], rows[i][4], rows[i][5]
        free = [(_iou(box, g), n) for n, g in enumerate(gts) if g[4] == label and n not in taken]
        best, n = max(free, default=(0, None))
        if best >= iou_thr:
            taken.add(n)
        if score < score_thr:
            continue
        if best >= iou_thr:
            kinds[i] = TRUE
        elif any(r[4] == label and _overlap(box, r) / _area(box) >= iou_thr for r in regions):
            continue
        elif any(g[4] == label and _iou(box, g) >= iou_thr for g in gts):
            kinds[i] = TWICE
        elif any(g[4] != label and _iou(box, g) >= iou_thr for g in gts):
            kinds[i] = OTHER_CLASS
        elif any(g[4] == label and _iou(box, g) >= 0.3 for g in gts):
            kinds[i] = LOOSE
        elif any(
            _overlap(box, g) >= 0.7 * _area(box) and math.sqrt(_area(g) / _area(box)) >= math.sqrt(2) for g in gts
        ):
            kinds[i] = PART
        else:
            kinds[i] = BACKGROUND
    return kinds


def _random_rows(rng, number):
    corners, sides = rng.uniform(0, 60, (number, 2)), 2 ** rng.uniform(2, 6, (number, 2))
    return np.concatenate([corners, corners + sides, rng.integers(0, 3, (number, 1))], axis=1)


def _random_image(seed):
    rng = np.random.default_rng(seed)
    gts, regions = _random_rows(rng, 8), _random_rows(rng, 2)
    moved = gts[rng.integers(0, 8, 25)]
    sides = moved[:, 2:4] - moved[:, :2]
    moved[:, :4] += np.tile(sides, 2) * rng.uniform(-0.3, 0.3, (25, 4))
    boxes = np.concatenate([moved, _random_rows(rng, 30)])
    boxes[rng.uniform(size=55) < 0.15, 4] = 2
    return gts, regions, np.column_stack([boxes, rng.uniform(size=55)])


def test_against_a_plain_loop():
    seen = np.zeros(len(KINDS), int)
    for seed in range(60):
        gts, regions, rows = _random_image(seed)
        iou_thr = (0.4, 0.5, 0.75)[seed % 3]
        expected = _plain_kinds(gts.tolist(), regions.tolist(), rows.tolist(), 0.3, iou_thr)
        merged = _merged(*rows, dtype=torch.float64)
        found = kinds_of_detections(_objects(*gts, ignored=regions), merged, 0.3, iou_thr)
        counted = [i for i, k in enumerate(expected) if k is not None]
        assert found.kinds.tolist() == [expected[i] for i in counted]
        assert found.num_ignored == (rows[:, 5] >= 0.3).sum() - len(counted)
        np.testing.assert_array_equal(found.scores, rows[counted, 5])
        np.testing.assert_allclose(found.scales, [math.sqrt(_area(rows[i])) for i in counted])
        seen += np.bincount(found.kinds, minlength=len(KINDS))
    assert seen.min() > 10


def test_true_and_ignored_are_those_of_pycocotools(capsys):
    """The whole evaluation, with the regions annotated as crowds."""
    for seed in range(5):
        gts, regions, rows = _random_image(seed)
        records = [
            dict(id=i, image_id=1, category_id=int(r[4]), bbox=[*r[:2], *(r[2:4] - r[:2])], iscrowd=int(i > len(gts)))
            for i, r in enumerate(np.concatenate([gts, regions]), 1)
        ]
        coco = COCO()
        coco.dataset = dict(
            images=[dict(id=1)],
            annotations=[dict(r, area=_area(g)) for r, g in zip(records, np.concatenate([gts, regions]))],
            categories=[dict(id=c) for c in range(3)],
        )
        coco.createIndex()
        boxes = [[*r[:2], *(r[2:4] - r[:2])] for r in rows]
        scores = rows[:, 5].tolist()
        dets = [
            dict(image_id=1, category_id=int(r[4]), bbox=b, score=s) for r, b, s in zip(rows, boxes, scores) if s >= 0.3
        ]
        evaluation = COCOeval(coco, coco.loadRes(dets), 'bbox')
        evaluation.params.iouThrs, evaluation.params.maxDets = np.array([0.5]), [100]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [(0, 1e10)], ['all']
        evaluation.evaluate()
        results = [r for r in evaluation.evalImgs if r]
        ignored = sum(int(r['dtIgnore'].sum()) for r in results)
        true = sum(int((r['dtMatches'] > 0).sum()) for r in results) - ignored
        found = kinds_of_detections(_objects(*gts, ignored=regions), _merged(*rows, dtype=torch.float64))
        assert (found.num_ignored, (found.kinds == TRUE).sum()) == (ignored, true)


def test_overlaps():
    boxes = np.array([[0.0, 0, 10, 10], [5, 0, 15, 10]])
    others = np.array([[0.0, 0, 20, 10], [30, 0, 40, 10], [0, 0, 5, 5]])
    np.testing.assert_allclose(box_overlaps(boxes, others), [[0.5, 0, 0.25], [0.5, 0, 0]])
    np.testing.assert_allclose(box_overlaps(boxes, others, of_box=True), [[1, 0, 0.25], [1, 0, 0]])
    assert box_overlaps(boxes, others[:0]).shape == (2, 0)
    assert box_overlaps(boxes[:0], others).shape == (0, 3)
