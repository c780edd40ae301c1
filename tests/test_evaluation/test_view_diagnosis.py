"""States of objects on hand-made views, and the matching against one written out by hand."""

import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData

from mmisn.evaluation.view_diagnosis import (
    DISCARDED,
    FOUND,
    LOST,
    MERGED,
    MISSED,
    ONLY_DISCARDED,
    OUT_OF_RANGE,
    UNSEEN,
    ImageObjects,
    ObjectStates,
    diagnose_image,
    match_scores,
)
from mmisn.structures import Chip, ScaleRange, ViewFilter

IMAGE_WH = (400, 200)
# [20, 100] view px: objects of 10 to 50 px at x2, of 40 to 200 px at x0.5.
FILTER = ViewFilter(ScaleRange(20, 100))
X2 = Chip.full(IMAGE_WH, (800, 400))
HALF_FLIPPED = Chip.full(IMAGE_WH, (200, 100), flip=True)


def _found(*rows, flip=False, view_ids=None):
    """Detections (x, y, side, label, score) as a detector returns them for a view: flipped, if the view is."""
    table = np.array(rows, np.float64).reshape(-1, 5)
    x1, y1, side = table[:, 0], table[:, 1], table[:, 2]
    left = IMAGE_WH[0] - x1 - side if flip else x1
    data = InstanceData(
        bboxes=torch.tensor(np.stack([left, y1, left + side, y1 + side], axis=1), dtype=torch.float32),
        scores=torch.tensor(table[:, 4], dtype=torch.float32),
        labels=torch.tensor(table[:, 3], dtype=torch.long),
    )
    if view_ids is not None:
        data.view_ids = torch.tensor(view_ids)
    return data


def _objects(*rows, image_id=7):
    """Objects (x, y, side, label)."""
    table = np.array(rows, np.float64).reshape(-1, 4)
    boxes = np.concatenate([table[:, :2], table[:, :2] + table[:, 2:3]], axis=1)
    return ImageObjects(image_id, list(range(11, 11 + len(table))), boxes, table[:, 3].astype(int))


GTS = _objects(
    (10, 10, 20, 0),  # in range at x2 only, found there and in the end
    (50, 10, 45, 2),  # in range at both, found by both
    (110, 10, 60, 1),  # out of range at x2, which sees it; in range at x0.5, which does not
    (180, 10, 30, 1),  # seen by none
    (220, 10, 48, 0),  # found by both, lost to a box that fits badly
    (280, 10, 50, 2),  # on the upper bound at x2, found there; in range at x0.5, missed
    (340, 10, 8, 0),  # in no view's range
)
AT_X2 = _found(
    (10, 10, 20, 0, 0.9),
    (10, 10, 19, 0, 0.8),  # found twice
    (50, 10, 45, 2, 0.7),
    (110, 10, 60, 1, 0.6),
    (180, 10, 30, 0, 0.9),  # another class
    (220, 10, 48, 0, 0.5),
    (280, 10, 50, 2, 0.4),
    (340, 10, 8, 0, 0.04),  # below the score threshold
)
AT_HALF = _found((50, 10, 46, 2, 0.3), (221, 10, 48, 0, 0.35), flip=True)
MERGED_BOXES = _found(
    (10, 10, 20, 0, 0.9), (50, 10, 45, 2, 0.7), (230, 10, 50, 0, 0.95), (280, 10, 50, 2, 0.4), view_ids=[0, 0, 1, 0]
)
EXPECTED_STATES = [
    [FOUND, OUT_OF_RANGE],
    [FOUND, FOUND],
    [DISCARDED, MISSED],
    [MISSED, OUT_OF_RANGE],
    [FOUND, FOUND],
    [FOUND, MISSED],
    [OUT_OF_RANGE, OUT_OF_RANGE],
]


def _diagnose(objects=GTS, x2=AT_X2, half=AT_HALF, merged=MERGED_BOXES, filters=FILTER, **kwargs):
    views = [(X2, x2), (HALF_FLIPPED, half)]
    return diagnose_image(objects, views, merged, IMAGE_WH, filters, **{'iou_thr': 0.7, **kwargs})


def test_every_state():
    states = _diagnose()
    assert states.states.tolist() == EXPECTED_STATES
    assert states.merged.tolist() == [MERGED, MERGED, ONLY_DISCARDED, UNSEEN, LOST, MERGED, UNSEEN]
    held = [[1, 0], [1, 1], [0, 1], [1, 0], [1, 1], [1, 1], [0, 0]]
    assert states.in_range.tolist() == [[bool(v) for v in row] for row in held]
    assert states.scales.tolist() == [20, 45, 60, 30, 48, 50, 8]
    nan = np.nan
    # The merged box in place of the fifth object is of the second view.
    assert states.rivals.tolist() == [-1, -1, -1, -1, 1, -1, -1]
    np.testing.assert_allclose(states.scores[:, 0], [0.9, 0.7, 0.6, nan, 0.5, 0.4, nan], rtol=1e-6)
    np.testing.assert_allclose(states.scores[:, 1], [nan, 0.3, nan, nan, 0.35, nan, nan], rtol=1e-6)
    np.testing.assert_allclose(states.merged_scores, [0.9, 0.7, nan, nan, nan, 0.4, nan], rtol=1e-6)
    assert states.annotation_ids.tolist() == [11, 12, 13, 14, 15, 16, 17]
    assert states.labels.tolist() == [0, 2, 1, 1, 0, 2, 0]


def test_thresholds_move_states():
    # 230..280 against 220..268: an intersection of 38 x 48 over a union of 48^2 + 50^2 - that, IoU 0.61.
    assert _diagnose(iou_thr=0.6).merged[4] == MERGED
    assert _diagnose(iou_thr=0.62).merged[4] == LOST
    strict = _diagnose(score_thr=0.45)
    assert strict.states[5].tolist() == [MISSED, MISSED]
    assert strict.merged.tolist() == [MERGED, MERGED, ONLY_DISCARDED, UNSEEN, LOST, UNSEEN, UNSEEN]
    assert _diagnose(score_thr=0.03).states[6].tolist() == [DISCARDED, OUT_OF_RANGE]


def test_a_range_per_view_in_original_pixels():
    filters = [
        ViewFilter(ScaleRange(0, 45, frame='original')),
        ViewFilter(ScaleRange(45, 60, frame='original')),
    ]
    states = _diagnose(filters=filters)
    assert states.in_range[:, 0].tolist() == [True, True, False, True, False, False, True]
    # Both bounds belong to the range.
    assert states.in_range[:, 1].tolist() == [False, True, True, False, True, True, False]
    assert states.states[:, 0].tolist() == [FOUND, FOUND, DISCARDED, MISSED, DISCARDED, DISCARDED, MISSED]


def test_infinite_ranges_discard_nothing():
    states = _diagnose(filters=None)
    assert states.in_range.all()
    found = [[1, 0], [1, 1], [1, 0], [0, 0], [1, 1], [1, 0], [0, 0]]
    assert states.states.tolist() == [[FOUND if v else MISSED for v in row] for row in found]
    assert states.merged[2] == LOST


def test_what_a_detector_told_of_no_range_sees():
    # The detector itself has kept what is out of range from the first pass.
    ranged = AT_X2[torch.arange(len(AT_X2)) != 3]
    assert _diagnose(x2=ranged).states[2].tolist() == [MISSED if i else OUT_OF_RANGE for i in range(2)]
    opened = diagnose_image(
        GTS,
        [(X2, ranged), (HALF_FLIPPED, AT_HALF)],
        MERGED_BOXES,
        IMAGE_WH,
        FILTER,
        open_views=[(X2, AT_X2), (HALF_FLIPPED, AT_HALF)],
        iou_thr=0.7,
    )
    assert opened.states.tolist() == EXPECTED_STATES


def test_other_rules_of_a_filter_stay():
    # A view that may not report a class does not see it either; its range has nothing to do with that.
    states = _diagnose(filters=[ViewFilter(ScaleRange(20, 100), classes=(0, 2)), FILTER])
    assert states.states[2].tolist() == [OUT_OF_RANGE, MISSED]
    assert states.merged[2] == UNSEEN


def test_a_duplicate_does_not_find_the_neighbour():
    objects = _objects((10, 10, 40, 0), (20, 10, 40, 0))
    # Both boxes are nearer to the first object; the second box overlaps the second object by 0.6.
    twice = _found((10, 10, 40, 0, 0.9), (10, 10, 40, 0, 0.8))
    nothing = _found(flip=True)
    loose = _diagnose(objects, twice, nothing, nothing, nms=None, iou_thr=0.5)
    assert loose.states[:, 0].tolist() == [FOUND, FOUND]
    suppressed = _diagnose(objects, twice, nothing, nothing, nms=dict(type='nms', iou_threshold=0.5), iou_thr=0.5)
    assert suppressed.states[:, 0].tolist() == [FOUND, MISSED]
    # Gaussian soft-NMS leaves the second box 0.8 exp(-1 / 0.5) = 0.108.
    assert _diagnose(objects, twice, nothing, nothing, iou_thr=0.5, score_thr=0.11).states[1, 0] == MISSED
    assert _diagnose(objects, twice, nothing, nothing, iou_thr=0.5, score_thr=0.10).states[1, 0] == FOUND


def test_no_more_than_max_per_img():
    states = _diagnose(max_per_img=2)
    # The two best at x2 are those of the first object and of the wrong class.
    assert [s == FOUND for s in states.states[:, 0]] == [True] + [False] * 6


def test_cut_object_is_judged_by_its_part_in_the_image():
    # 60x60 px, of which 30x60 are in the image: 42.4 px.
    states = _diagnose(_objects((370, 20, 60, 0)))
    assert states.scales[0] == pytest.approx(np.sqrt(30 * 60))
    assert states.in_range.tolist() == [[True, True]]


def test_nothing_annotated_or_nothing_found():
    none = _objects()
    empty = _diagnose(none)
    assert len(empty) == 0
    assert empty.states.shape == (0, 2)
    nothing = _found()
    states = _diagnose(x2=nothing, half=_found(flip=True), merged=nothing)
    assert states.merged.tolist() == [UNSEEN] * 7
    expected = np.where(states.in_range, MISSED, OUT_OF_RANGE)
    assert (states.states == expected).all()
    joined = ObjectStates.join([empty, states, empty])
    assert joined.states.tolist() == states.states.tolist()


def test_images_are_joined_in_order():
    other = _diagnose(_objects((50, 10, 45, 2), image_id='b'))
    joined = ObjectStates.join([_diagnose(), other])
    assert joined.image_ids.tolist() == [7] * 7 + ['b']
    assert joined.states.tolist() == [*EXPECTED_STATES, [FOUND, FOUND]]
    single = diagnose_image(GTS, [(X2, AT_X2)], MERGED_BOXES, IMAGE_WH, FILTER)
    with pytest.raises(ValueError, match=r'same number of views.*\[1, 2\]'):
        ObjectStates.join([other, single])


def _iou(a, b):
    w = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    h = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return w * h / (area - w * h)


def _greedy(boxes, labels, report, iou_thr):
    """COCO's matching, written out: best detection first, each takes the free object that it overlaps most."""
    scores = [np.nan] * len(boxes)
    for i in np.argsort(-report.scores.numpy(), kind='stable'):
        free = [
            (_iou(boxes[g], report.bboxes[i].tolist()), g)
            for g in range(len(boxes))
            if np.isnan(scores[g]) and labels[g] == report.labels[i]
        ]
        overlap, best = max(free, default=(0, None))
        if best is not None and overlap >= iou_thr:
            scores[best] = float(report.scores[i])
    return scores


@pytest.mark.parametrize('seed', range(6))
def test_matching_against_a_plain_one(seed):
    rng = np.random.default_rng(seed)
    centres, sides = rng.uniform(20, 60, (8, 2)), rng.uniform(10, 40, (8, 2))
    boxes, labels = np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), rng.integers(0, 3, 8)
    reports = []
    for number in (0, 5, 30):
        chosen = rng.integers(0, 8, number)
        moved = boxes[chosen] + rng.normal(0, 3, (number, 4))
        reports.append(
            InstanceData(
                bboxes=torch.tensor(moved),
                scores=torch.tensor(rng.uniform(0, 1, number)),
                labels=torch.tensor(np.where(rng.uniform(size=number) < 0.8, labels[chosen], 2)),
            )
        )
    result = match_scores(boxes, labels, reports, 0.5)
    np.testing.assert_allclose(result, [_greedy(boxes, labels, r, 0.5) for r in reports], rtol=1e-12)
    assert np.isnan(result[0]).all()
    assert not np.isnan(result[2]).all()
