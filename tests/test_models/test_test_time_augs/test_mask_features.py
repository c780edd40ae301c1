"""Which detections keep their features while the views go by."""

import pytest
import torch
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import MaskRequest
from mmisn.models.test_time_augs.mask_features import LeadingFeatures
from mmisn.structures import Chip, ViewFilter

WH = (400, 40)
CHIP = Chip.full(WH)
HARD = dict(type='nms', iou_threshold=0.5)


def found(*rows):
    """Detections of class 0 from rows of left edge and score, 20 px wide."""
    boxes = torch.tensor([[x, 0.0, x + 20.0, 20.0] for x, _ in rows])
    return InstanceData(
        bboxes=boxes, scores=torch.tensor([s for _, s in rows]), labels=torch.zeros(len(rows), dtype=torch.long)
    )


def extract_of(view, asked=None):
    """Features that tell view and row, for two heads."""

    def extract(rows):
        if asked is not None:
            asked.append(rows.tolist())
        features = torch.stack([torch.full((2, 3, 3), 10.0 * view + r) for r in rows.tolist()])
        return [features, -features]

    return extract


def request(view, image=0, **view_filter):
    return MaskRequest(image, view, CHIP, ViewFilter(**view_filter))


@pytest.fixture
def leading():
    """Two may be reported of each image."""
    return LeadingFeatures(HARD, 2)


def kept(features, num_views, num_rows=8, image=0):
    places = [(v, r) for v in range(num_views) for r in range(num_rows)]
    gone = {n for numbers in features.missing(image, places).values() for n in numbers}
    return [p for n, p in enumerate(places) if n not in gone]


def test_those_that_fall_behind_are_dropped(leading):
    asked = []
    first = found((0, 0.9), (40, 0.8), (41, 0.85), (80, 0.6), (120, 0.5))
    leading.add(request(0), first, WH, extract_of(0, asked))
    # Reported are rows 0 and 2; the second is suppressed, but better than none that are reported: 0.8 < 0.85.
    assert asked == [[0, 2]]
    second = found((200, 0.1), (240, 0.95), (1, 0.88))
    leading.add(request(1), second, WH, extract_of(1, asked))
    # Reported are (1, 1) and (0, 0); (1, 2) is suppressed and below 0.9.
    assert asked[1:] == [[1]] and kept(leading, 2) == [(0, 0), (1, 1)]
    values = leading.of(0, [(1, 1), (0, 0)])
    assert [v[:, 0, 0, 0].tolist() for v in values] == [[11, 0], [-11, 0]]
    assert leading.num_bytes == 2 * 2 * (2 * 3 * 3) * 4


def test_suppressed_ones_above_the_last_reported_stay(leading):
    asked = []
    # Reported are rows 0 and 3; of the suppressed, row 1 is above 0.6.
    leading.add(request(0), found((0, 0.9), (6, 0.8), (5, 0.5), (80, 0.6)), WH, extract_of(0, asked))
    assert asked == [[0, 1, 3]]
    # Were less reported than may be, all could come back, but no more than five are kept.
    few = LeadingFeatures(HARD, 2)
    few.add(request(0), found(*((i / 10, 0.9 - i / 100) for i in range(10))), WH, extract_of(0))
    assert kept(few, 1, 10) == [(0, r) for r in range(5)]


def test_filters_and_images_are_told_apart(leading):
    leading.add(request(2, image=0, classes=(1,)), found((0, 0.9)), WH, extract_of(2))
    assert leading.missing(0, [(2, 0)]) == {2: [0]}
    leading.add(request(2, image=1), found((0, 0.9)), WH, extract_of(2))
    assert leading.missing(1, [(2, 0)]) == {} and leading.missing(0, [(2, 0)]) == {2: [0]}


def test_one_that_comes_back(leading):
    """The best of all suppresses the one that suppressed another; that one's features are there, or missing and put."""
    leading.add(request(0), found((0, 0.9), (6, 0.8), (6, 0.3)), WH, extract_of(0))
    leading.add(request(1), found((-3, 0.95)), WH, extract_of(1))
    # Merged, (1, 0) and (0, 1) survive.
    assert leading.missing(0, [(1, 0), (0, 1)]) == {}
    assert leading.missing(0, [(1, 0), (0, 5)]) == {0: [1]}
    leading.put(request(0), [5], extract_of(0))
    assert leading.missing(0, [(1, 0), (0, 5)]) == {}
    assert leading.of(0, [(0, 5), (1, 0)])[0][:, 0, 0, 0].tolist() == [5, 10]
