"""Counts by octave, tables and advice, on states that are written down."""

import math

import numpy as np
import pytest

from mmisn.evaluation.diagnosis_advice import advise, dispensable_views
from mmisn.evaluation.diagnosis_summary import (
    TestedViews,
    count_octaves,
    count_rows,
    object_rows,
    octave_anchor,
    octave_rows,
)
from mmisn.evaluation.view_diagnosis import (
    DISCARDED,
    FOUND,
    LOST,
    MERGED,
    MISSED,
    ONLY_DISCARDED,
    OUT_OF_RANGE,
    UNSEEN,
    ObjectStates,
)

VIEWS = TestedViews(('x2', 'x1'), np.array([[10.0, 40], [20, 80]]), np.array([2.0, 1.0]), np.array([0.4, 0.1]))

# (scale, in range, states, merged, rival); octaves from 10 px.
ROWS = [
    (9.99, (0, 0), (OUT_OF_RANGE, OUT_OF_RANGE), UNSEEN, -1),
    (10.0, (1, 0), (FOUND, OUT_OF_RANGE), MERGED, -1),
    (15.0, (1, 0), (MISSED, OUT_OF_RANGE), UNSEEN, -1),
    (20.0, (1, 1), (FOUND, FOUND), MERGED, -1),
    (39.9, (1, 1), (FOUND, MISSED), LOST, 1),
    (80.0, (0, 1), (OUT_OF_RANGE, MISSED), UNSEEN, -1),
    (100.0, (0, 0), (OUT_OF_RANGE, DISCARDED), ONLY_DISCARDED, -1),
    (120.0, (0, 0), (OUT_OF_RANGE, FOUND), MERGED, -1),
]


def _states(rows=ROWS):
    scales, held, states, merged, rivals = zip(*rows) if rows else ((), (), (), (), ())
    states = np.array(states, int).reshape(-1, 2)
    seen = (states == FOUND) | (states == DISCARDED)
    return ObjectStates(
        image_ids=np.arange(len(rows)),
        annotation_ids=np.arange(len(rows)) + 50,
        labels=np.zeros(len(rows), int),
        scales=np.array(scales, float),
        in_range=np.array(held, bool).reshape(-1, 2),
        states=states,
        scores=np.where(seen, [0.5, 0.6], np.nan) if rows else np.zeros((0, 2)),
        merged=np.array(merged, int),
        merged_scores=np.where(np.array(merged) == MERGED, 0.9, np.nan),
        rivals=np.array(rivals, int),
    )


def test_counts():
    table = count_octaves(_states(), 10.0)
    assert table.edges.tolist() == [5, 10, 20, 40, 80, 160]
    assert table.rows.tolist() == [0, 1, 1, 2, 2, 4, 4, 4]
    assert table.objects.tolist() == [1, 2, 2, 0, 3, 8]
    assert table.views[:, 0].tolist() == [
        [0, 0, 0, 1],
        [1, 0, 1, 0],
        [2, 0, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 3],
        [3, 0, 1, 4],
    ]
    assert table.views[-1, 1].tolist() == [2, 1, 2, 3]
    assert table.merged.tolist() == [
        [0, 0, 0, 1],
        [1, 0, 0, 1],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [1, 0, 1, 1],
        [3, 1, 1, 3],
    ]
    assert table.no_range.tolist() == [1, 0, 0, 0, 2, 3]
    assert table.detector.tolist() == [0, 1, 0, 0, 1, 2]


@pytest.mark.parametrize('anchor', [0.8, 1.0, 1.6, 6.4, 12.8, 33.3])
def test_each_object_on_an_edge_is_in_the_upper_octave(anchor):
    # Scales of which the logarithm may be rounded to either side of a whole number.
    rows = [(anchor * 2.0**e, (1, 1), (FOUND, FOUND), MERGED, -1) for e in range(-2, 7)]
    table = count_octaves(_states(rows), anchor)
    assert table.objects.tolist() == [1] * 9 + [9]
    assert table.edges[0] == anchor / 4
    assert len(table.edges) == 10


def test_anchor():
    assert octave_anchor(np.array([[1.5999, 56], [3.2, 112]])) == 1.6
    assert octave_anchor(np.array([[0, 90], [32.0, 180], [75, math.inf]])) == 32.0
    assert octave_anchor(np.array([[0.0, math.inf]])) == 1.0
    with pytest.raises(ValueError, match='must be > 0 and finite, got 0'):
        count_octaves(_states(), 0)


def test_tables():
    table = count_octaves(_states(), 10.0)
    header, rows = octave_rows(table, VIEWS.names)
    assert header == [
        *('scale, px', 'objects', 'x2 %', 'x1 %', 'merged: found %', 'lost in merging %'),
        *('found out of range only %', 'found by no view %', 'in no range %'),
    ]
    assert rows[2] == ['20-40', 2, '100.0', '50.0', '50.0', '50.0', '0.0', '0.0', '0.0']
    assert rows[3] == ['40-80', 0, *['-'] * 7]
    assert rows[5] == ['all', 8, '37.5', '25.0', '37.5', '12.5', '12.5', '37.5', '37.5']
    header, rows = count_rows(table, VIEWS.names)
    last = dict(zip(header, rows[-1]))
    assert (last['lower_px'], last['upper_px'], last['objects'], last['x1: discarded']) == ('5', '160', 8, 1)
    assert (last['merged: lost in merging'], last['x2: out of range'], last['in_no_range']) == (1, 4, 3)
    header, rows = object_rows(_states(), VIEWS.names, ['ship'])
    assert header[:8] == [
        *('image_id', 'annotation_id', 'class', 'scale_px', 'merged', 'merged_score', 'instead_of_it', 'best_view')
    ]
    assert rows[4] == [4, 54, 'ship', '39.90', 'lost in merging', '', 'x1', 'x2', '0.500', 'found', 'missed']
    assert rows[6][4:] == ['found out of range only', '', '', 'x1', '0.600', 'out of range', 'discarded']
    assert rows[0][4:] == ['found by no view', '', '', '', '', 'out of range', 'out of range']


def test_advice_names_what_the_counts_say():
    states = _states()
    said = advise(states, count_octaves(states, 10.0), VIEWS)
    assert said == [
        "1 of 1 objects (100 %) of 5-10 px are in no view's range: add a factor, or widen the range.",
        "2 of 3 objects (67 %) of 80-160 px are in no view's range: add a factor, or widen the range.",
        '1 of 3 objects (33 %) of 80-160 px are seen by views outside their range alone (x1 1, at 100 to 100 view px): '
        'a range that holds these scales would find them, 100 % more than are found now (and bring false positives '
        'with it).',
        '1 of 2 objects (50 %) of 20-40 px are found by a view (x2 1) and lost in merging; less fitting boxes stand in '
        'their place, of x1 1.',
        "What is lost in merging is outscored by another view's box, or cut by max_per_img: tta_model.nms and a "
        'narrower range are the settings to try.',
        "1 of 2 objects (50 %) of 10-20 px are in some view's range, and no view sees them: factors and range hold "
        'them, the detector does not find them.',
        "1 of 3 objects (33 %) of 80-160 px are in some view's range, and no view sees them: factors and range hold "
        'them, the detector does not find them.',
        "Objects out of a view's range, but reported by it with boxes in range: x1 1. Such boxes are too small or too "
        'large, and compete with better ones of other views.',
    ]


def test_advice_on_views():
    # x1 finds nothing that x2 does not find, and little at all.
    rows = [(30.0, (1, 1), (FOUND, MISSED), MERGED, -1)] * 96 + [(30.0, (1, 1), (FOUND, FOUND), MERGED, -1)] * 4
    states = _states(rows)
    said = advise(states, count_octaves(states, 10.0), VIEWS)
    assert said[0] == 'x1 finds 4 of the 100 objects in its range: it could be left out.'
    assert said[1].startswith('Without x1 (20 % of the pixels) the other views still find all but 0 of the 100 objects')
    assert len(said) == 2


def test_advice_without_objects_and_without_faults():
    states = _states([])
    table = count_octaves(states)
    assert table.objects.tolist() == [0, 0]
    assert advise(states, table, VIEWS) == ['No objects were tested.']
    assert octave_rows(table, VIEWS.names)[1][-1] == ['all', 0, *['-'] * 7]
    rows = [(30.0, (1, 0), (FOUND, OUT_OF_RANGE), MERGED, -1), (70.0, (0, 1), (OUT_OF_RANGE, FOUND), MERGED, -1)]
    states = _states(rows)
    assert advise(states, count_octaves(states), VIEWS) == [
        'Factors and range fit: each octave is found in range by some view and kept.'
    ]


def test_dispensable_views():
    found = np.zeros((1000, 4), bool)
    found[:600, 0] = found[595:, 1] = found[:, 2] = True
    found[3:6, 3] = True
    # The third finds all; the dearest go first.
    assert dispensable_views(found, np.array([4.0, 2, 1, 1])) == ([0, 1, 3], 0)
    # Where it costs most, it goes, and the first two must stay.
    assert dispensable_views(found, np.array([1.0, 1, 9, 1])) == ([2, 3], 0)
    found[:5] = False
    found[:5, 3] = True
    # 5 of 1000 is the most that may be lost, 6 is too many.
    assert dispensable_views(found, np.array([1.0, 1, 9, 1])) == ([2, 3], 5)
    found[5] = (False, False, False, True)
    assert dispensable_views(found, np.array([1.0, 1, 9, 1])) == ([2], 0)
    assert dispensable_views(np.zeros((3, 2), bool), np.ones(2)) == ([1], 0)
