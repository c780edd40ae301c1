"""States of objects: by hand, and against what the training transforms make of the same objects."""

import numpy as np
import pytest
from mmdet.structures.bbox import HorizontalBoxes

from mmisn.datasets import objects_of_image
from mmisn.datasets.transforms import CropChip, FilterByScale
from mmisn.structures import Chip, ScaleRange
from mmisn.visualization import best_states, count_states, object_states
from mmisn.visualization.object_states import CROWD, NOT_ENCLOSED, NOT_SHOWN, OUT_OF_RANGE, TRAINED

# Shows [10, 60] x [20, 70] at factor 2.
CHIP = Chip((10, 20, 60, 70), (100, 100))
RANGE = ScaleRange(16, 60)  # 8 to 30 original px


@pytest.mark.parametrize(
    ('box', 'crowd', 'state'),
    [
        ((10, 20, 18, 28), False, TRAINED),  # lower bound, in the chip's corner
        ((10, 20, 40, 50), False, TRAINED),  # upper bound
        ((20, 30, 27.9, 38), False, OUT_OF_RANGE),  # just below
        ((20, 30, 50.1, 60), False, OUT_OF_RANGE),  # just above
        ((52, 30, 62, 40), False, NOT_ENCLOSED),
        ((5, 20, 55, 60), False, OUT_OF_RANGE),  # neither in range nor enclosed
        ((20, 30, 30, 40), True, CROWD),
        ((0, 0, 100, 100), True, CROWD),
        ((60, 30, 80, 40), False, NOT_SHOWN),  # touches the edge
        ((70, 80, 80, 90), True, NOT_SHOWN),
    ],
)
def test_state_of_one_object(box, crowd, state):
    for chip in (CHIP, CHIP.flipped()):
        assert object_states(np.array([box], float), np.array([crowd]), chip, RANGE).tolist() == [state]


def test_no_objects():
    assert object_states(np.zeros((0, 4)), np.zeros(0, bool), CHIP, RANGE).tolist() == []
    assert best_states([], np.zeros(0, bool), np.zeros(0, bool)).tolist() == []


@pytest.mark.parametrize('seed', range(6))
def test_same_as_the_transforms(seed):
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, 90, (200, 2))
    boxes = np.concatenate((corners, np.minimum(corners + rng.integers(1, 60, (200, 2)), 100)), axis=1).astype(float)
    crowds = rng.random(200) < 0.2
    chip = Chip((13, 5, 80, 61), (rng.integers(40, 200), rng.integers(40, 200)), flip=bool(seed % 2))
    results = dict(
        chip=chip,
        scale_range=(20.0, 70.0),
        img=np.zeros((100, 100, 3), np.uint8),
        ori_shape=(100, 100),
        img_shape=(100, 100),
        gt_bboxes=HorizontalBoxes(boxes.astype(np.float32)),
        gt_bboxes_labels=np.arange(200),
        gt_ignore_flags=crowds,
    )
    results = CropChip().transform(FilterByScale().transform(results))
    states = object_states(boxes, crowds, chip, ScaleRange(20, 70))
    assert set(states) == {TRAINED, OUT_OF_RANGE, NOT_ENCLOSED, CROWD, NOT_SHOWN}
    assert results['gt_bboxes_labels'].tolist() == np.flatnonzero(states != NOT_SHOWN).tolist()
    assert results['gt_ignore_flags'].tolist() == (states[states != NOT_SHOWN] != TRAINED).tolist()


def test_best_states_and_counts():
    states = [
        np.array([TRAINED, OUT_OF_RANGE, NOT_ENCLOSED, NOT_SHOWN, CROWD], object),
        np.array([OUT_OF_RANGE, OUT_OF_RANGE, NOT_ENCLOSED, NOT_SHOWN, CROWD], object),
        np.array([NOT_SHOWN, NOT_SHOWN, NOT_SHOWN, NOT_ENCLOSED, NOT_SHOWN], object),
    ]
    crowds = np.array([False] * 4 + [True])
    some_range = np.array([True, False, True, True, True])
    best = best_states(states, crowds, some_range)
    assert best.tolist() == [TRAINED, OUT_OF_RANGE, NOT_ENCLOSED, NOT_ENCLOSED, CROWD]
    assert count_states(states, [0, 2, 2], 3).tolist() == [[1, 1, 1, 1], [0, 0, 0, 0], [0, 2, 2, 1]]


def test_objects_of_image():
    info = dict(
        width=50,
        height=40,
        instances=[dict(bbox=[-3, 2, 60.1, 20], ignore_flag=0), dict(bbox=[1, 2, 3, 4], ignore_flag=1)],
    )
    boxes, ignored = objects_of_image(info)
    assert boxes.tolist() == [[0, 2, 50, 20], [1, 2, 3, 4]] and boxes.dtype == np.float64
    assert ignored.tolist() == [False, True]
    boxes, ignored = objects_of_image(dict(width=5, height=4, instances=[]))
    assert boxes.shape == (0, 4) and ignored.tolist() == []
