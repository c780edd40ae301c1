"""Counts by view and octave, tables and advice, on detections that are written down."""

import numpy as np
import pytest

from mmisn.evaluation.diagnosis_advice import advise_on_false_positives
from mmisn.evaluation.diagnosis_summary import TestedViews
from mmisn.evaluation.false_positive_summary import (
    FalsePositiveTable,
    count_kinds,
    kind_count_rows,
    kind_rows,
    kind_rows_of_views,
)
from mmisn.evaluation.false_positives import BACKGROUND, KINDS, LOOSE, OTHER_CLASS, PART, TRUE, TWICE, DetectionKinds

VIEWS = TestedViews(('x2', 'x1'), np.array([[10.0, 40], [20, 80]]), np.array([2.0, 1.0]), np.array([0.4, 0.1]))
EDGES = np.array([10.0, 20, 40])

# (scale, view, kind)
ROWS = [
    (4.9, 0, BACKGROUND),
    (10.0, 0, TRUE),
    (19.9, 0, PART),
    (19.9, 0, PART),
    (20.0, 0, TWICE),
    (20.0, 1, TRUE),
    (39.9, 1, LOOSE),
    (80.0, 1, OTHER_CLASS),
]


def _detections(rows=ROWS):
    scales, views, kinds = (np.array(c) for c in zip(*rows)) if rows else (np.zeros(0, int),) * 3
    return DetectionKinds(np.arange(len(rows)), np.zeros(len(rows), int), scales, scales * 0 + 0.5, views, kinds)


def test_counts():
    table = count_kinds(_detections(), 2, EDGES)
    # Two octaves more below, two above; 40-80 px are empty.
    assert table.edges.tolist() == [2.5, 5, 10, 20, 40, 80, 160]
    assert table.counts[0].tolist() == [
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0],
        [1, 0, 0, 0, 2, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 2, 1],
    ]
    assert table.counts[1].nonzero()[0].tolist() == [3, 3, 5, 6, 6, 6]
    assert table.counts[1, -1].tolist() == [1, 0, 1, 1, 0, 0]
    assert table.false.tolist() == [[1, 0, 2, 1, 0, 0, 4], [0, 0, 0, 1, 0, 1, 2]]
    assert [table.name(i) for i in (0, 3, 6)] == ['2.5-5', '20-40', 'all']


def test_edges_stay_where_detections_lie_within():
    table = count_kinds(_detections([(12.0, 1, TRUE)]), 2, EDGES)
    assert table.edges.tolist() == EDGES.tolist()
    none = count_kinds(_detections([]), 3, EDGES)
    assert none.edges.tolist() == EDGES.tolist()
    assert none.counts.shape == (3, 3, 6)
    assert not none.counts.any()


@pytest.mark.parametrize('anchor', [0.8, 1.6, 6.4, 33.3])
def test_detections_on_edges_are_in_the_upper_octave(anchor):
    edges = anchor * 2.0 ** np.arange(3)
    rows = [(anchor * 2.0**e, 0, LOOSE) for e in range(7)]
    table = count_kinds(_detections(rows), 1, edges)
    assert table.edges[0] == anchor
    assert table.counts[0, :, LOOSE].tolist() == [1] * 7 + [7]


def test_boxes_without_area_make_no_octaves_of_their_own():
    rows = [(0.0, 0, BACKGROUND), (1e-9, 1, BACKGROUND), (1.0, 1, LOOSE)]
    table = count_kinds(_detections(rows), 2, EDGES)
    assert table.edges.tolist() == [0.625, 1.25, 2.5, 5, 10, 20, 40]
    assert table.counts[:, 0, BACKGROUND].tolist() == [1, 1]
    # The objects' lowest octave lies lower still.
    low = count_kinds(_detections(rows), 2, np.array([0.3, 0.6]))
    assert low.edges.tolist() == [0.3, 0.6, 1.2]
    assert low.counts[:, 0, BACKGROUND].tolist() == [1, 1]
    assert low.counts[1, 1, LOOSE] == 1


def test_tables():
    table = count_kinds(_detections(), 2, EDGES)
    header, rows = kind_rows(table)
    assert header == [
        *('scale, px', 'detections', 'true', 'false', 'false %', 'twice', 'other class', 'loose', 'part', 'background')
    ]
    assert rows[2] == ['10-20', 3, 1, 2, '66.7', 0, 0, 0, 2, 0]
    assert rows[3] == ['20-40', 3, 1, 2, '66.7', 1, 0, 1, 0, 0]
    assert rows[4] == ['40-80', 0, 0, 0, '-', 0, 0, 0, 0, 0]
    assert rows[6] == ['all', 8, 2, 6, '75.0', 1, 1, 1, 2, 1]
    assert kind_rows_of_views(table, VIEWS.names) == (
        ['view', *header[1:]],
        [['x2', 5, 1, 4, '80.0', 1, 0, 0, 2, 1], ['x1', 3, 1, 2, '66.7', 0, 1, 1, 0, 0]],
    )
    header, rows = kind_count_rows(table, VIEWS.names)
    assert header == ['view', 'lower_px', 'upper_px', *KINDS]
    assert len(rows) == 3 * 7
    assert rows[2] == ['x2', '10', '20', 1, 0, 0, 0, 2, 0]
    assert rows[6] == ['x2', '2.5', '160', 1, 1, 0, 0, 2, 1]
    assert rows[7 + 5] == ['x1', '80', '160', 0, 0, 1, 0, 0, 0]
    assert rows[-1] == ['all', '2.5', '160', 2, 1, 1, 1, 2, 1]


def _table(*cells):
    """Octaves 10-20 and 20-40 px of two views; cells of view, row, kind, count."""
    counts = np.zeros((2, 3, len(KINDS)), int)
    for view, row, kind, count in cells:
        counts[view, row, kind] = count
    counts[:, -1] = counts.sum(axis=1)
    return FalsePositiveTable(EDGES, counts)


def test_advice_names_what_prevails():
    table = _table(
        (0, 0, PART, 812),
        (0, 0, BACKGROUND, 218),
        (0, 0, TRUE, 40),
        (0, 1, PART, 100),
        (0, 1, TRUE, 2000),
        (1, 0, TWICE, 60),
        (1, 0, LOOSE, 61),
        (1, 1, OTHER_CLASS, 90),
    )
    assert advise_on_false_positives(table, VIEWS) == [
        'x2: 812 of its 1,030 false positives of 10-20 px (beside 40 true ones) and 100 of its 100 false positives of '
        '20-40 px (beside 2,000 true ones) are parts of larger objects: negative chips (tools/mine_negative_chips.py, '
        'for training on chips), a narrower range or leaving the view out are the settings to try.',
        'x1: 90 of its 90 false positives of 20-40 px (beside 0 true ones) fit an object of another class: the '
        'classifier confuses them, factors and range hardly matter.',
        'x1: 61 of its 121 false positives of 10-20 px (beside 0 true ones) fit an object of their class badly: a '
        'narrower range or leaving the view out are the settings to try.',
    ]


def test_thresholds_of_advice():
    # Half of a view's false positives of an octave are enough, of both kinds; a twentieth of all, and ten.
    half = _table((0, 0, TWICE, 50), (0, 0, BACKGROUND, 50))
    said = advise_on_false_positives(half, VIEWS)
    assert [s.split(' are ')[1] for s in said] == [
        'found better by another detection: a narrower range or tta_model.nms',
        'background: negative chips (tools/mine_negative_chips.py, for training on chips), a narrower range or leaving '
        'the view out',
    ]
    nothing = ['No view stands out by one kind of false positives.']
    thirds = _table((0, 0, TWICE, 33), (0, 0, BACKGROUND, 34), (0, 0, PART, 33))
    assert advise_on_false_positives(thirds, VIEWS) == nothing
    mixed = {PART: 317, LOOSE: 317, BACKGROUND: 316}
    rest = [(0, 0, kind, count) for kind, count in mixed.items()]
    assert len(advise_on_false_positives(_table(*rest, (1, 0, PART, 50)), VIEWS)) == 1
    assert advise_on_false_positives(_table(*rest, (1, 0, PART, 49)), VIEWS) == nothing
    assert advise_on_false_positives(_table((1, 0, PART, 9)), VIEWS) == nothing
    assert advise_on_false_positives(_table((1, 0, PART, 10)), VIEWS) != nothing


def test_advice_without_false_positives():
    assert advise_on_false_positives(_table((0, 0, TRUE, 50)), VIEWS) == ['There are no false positives.']
    assert advise_on_false_positives(_table(), VIEWS) == ['There are no false positives.']
