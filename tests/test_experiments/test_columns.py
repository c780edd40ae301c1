"""Columns of costs, tables drawn as a curve, and what table files say of starts, shares and weights."""

import copy

import cv2
import numpy as np
import pytest
import yaml

from mmisn.experiments.columns import Curve, column_digits, column_values
from mmisn.experiments.curve import curve_points, short_labels
from mmisn.experiments.report import costs_of, markdown, write_report
from mmisn.experiments.report_row import ReportRow
from mmisn.experiments.table_rows import Entry, Row, Source
from mmisn.experiments.tables import Table, load_table

PLAIN = 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'
TUNED = 'configs/scalenet/faster-rcnn_r18-small_fpn_1xb4-upsampled_scenes.py'
AREAS = 'configs/scalenet/scalenet_mobilenetv2-small_areas6_1xb8_scenes.py'
AREAS_COCO = 'configs/scalenet/scalenet_mobilenetv2_areas6_1xb16-12e_coco.py'
KEY = 'model.scale_net.init_cfg.checkpoint'


# Columns and the curve.


def results(*costs):
    return [dict(metrics=metrics, pixels={}, seconds={}, images=dict(val=4)) for metrics in costs]


def test_columns_of_costs():
    found = results({'coco/bbox_mAP': 0.4, 'cost/mpix': 0.3, 'cost/scale_net_mpix': 0.1, 'cost/seconds': 0.25}, {})
    np.testing.assert_array_equal(column_values(found, 'cost/fps', 'scenes'), [4, np.nan])
    np.testing.assert_array_equal(column_values(found, 'cost/mpix', 'scenes'), [0.4, np.nan])
    np.testing.assert_array_equal(column_values(found, 'cost/seconds', 'scenes'), [0.25, np.nan])
    np.testing.assert_array_equal(column_values(found, 'bbox_mAP', 'scenes'), [40, np.nan])
    assert [column_digits(key, 'scenes') for key in ('cost/fps', 'cost/mpix', 'bbox_mAP')] == [1, 3, 1]
    # What a column says is not said again behind the table.
    assert costs_of({'bbox_mAP': 'AP'}) == ['training Gpx', 'test Mpx/image', 'test s/image']
    assert costs_of({'cost/fps': 'FPS'}) == ['training Gpx', 'test Mpx/image']
    assert costs_of({'cost/mpix': 'Mpx', 'cost/seconds': 's'}) == ['training Gpx']


COLUMNS = {'bbox_mAP': 'AP', 'cost/mpix': 'Mpx'}
CURVE = Table('toy', 'Toy', 'here', dict(coco=COLUMNS, scenes=COLUMNS), (), curve=Curve('Mpx', 'AP'))


def point(name, *values, series=''):
    row = Row(name, '', {}, {'scenes': Entry('a.py', {}, 'a.py', {})}, series=series)
    return ReportRow(row, results(*({'coco/bbox_mAP': ap, 'cost/mpix': x} for ap, x in values)), 'scenes')


POINTS = [
    point('whole', (0.44, 1.0)),
    point('many', (0.43, 0.5), (0.45, 0.7), series='sweep'),
    point('few', (0.40, 0.2), series='sweep'),
    point('not run', series='sweep'),
]


def test_points_of_a_curve():
    found = curve_points(POINTS, COLUMNS, CURVE.curve)
    assert list(found) == ['whole', 'sweep']
    # By pixels, not by row.
    assert [name for name, _, _ in found['sweep']] == ['few', 'many']
    _, means, spreads = found['sweep'][1]
    np.testing.assert_allclose(means, [0.6, 44])
    np.testing.assert_allclose(spreads, [np.std([0.5, 0.7], ddof=1), np.sqrt(2)])
    np.testing.assert_allclose(found['sweep'][0][2], 0)


def test_labels_say_what_differs():
    assert short_labels(['one, a, 1', 'one, a, 2']) == ['1', '2']
    assert short_labels(['one, a', 'one, b, 2']) == ['a', 'b, 2']
    assert short_labels(['one', 'one, b']) == ['one', 'one, b']
    assert short_labels(['one, a', 'two, a']) == ['one, a', 'two, a']


def test_the_curve_is_drawn_beside_the_table(tmp_path):
    text = write_report(CURVE, POINTS, tmp_path / 'toy')
    assert text.endswith('\n![Toy](toy.png)\n\n![AP against Mpx](toy_curve.png)\n')
    assert '| whole   | 1 seed      |' in text and ' 1.000 |' in text
    picture = cv2.imread(str(tmp_path / 'toy_curve.png'))[..., ::-1].astype(int)
    # Two series, in matplotlib's first two colours.
    for colour in ([31, 119, 180], [255, 127, 14]):
        assert (np.abs(picture - colour).sum(axis=2) < 30).sum() > 50
    # Nothing to draw, no picture.
    text = write_report(CURVE, POINTS[-1:], tmp_path / 'none')
    assert 'curve' not in text and not (tmp_path / 'none_curve.png').exists()


def test_a_table_of_costs_is_in_their_unit():
    text = markdown(CURVE, POINTS[:2], COLUMNS, [])
    rows = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert rows[0] == ['', 'ours', 'AP', 'paper', 'Mpx', 'paper', 'training Gpx', 'test s/image']
    assert rows[3][:6] == ['many', '2 seeds', '44.0 ± 1.4', '-', '0.600 ± 0.141', '-']


# Mistakes in a table file.

GOOD = dict(
    title='T',
    source='S',
    metrics=dict(coco={'bbox_mAP': 'AP', 'cost/mpix': 'Mpx'}, scenes={'bbox_mAP': 'AP', 'cost/mpix': 'Mpx'}),
    curve=dict(x='Mpx', y='AP'),
    rows=[
        dict(
            name='tuned',
            series='s',
            scenes=dict(config=TUNED, start=PLAIN, share=0.5, test=dict(weights={KEY: dict(config=AREAS, share=0.7)})),
            coco=dict(config=TUNED, start=dict(config=PLAIN), test=dict(weights={KEY: AREAS_COCO})),
        )
    ],
)


def load(tmp_path, content):
    (tmp_path / 'toy.yml').write_text(yaml.safe_dump(content))
    return load_table(tmp_path / 'toy.yml')


def test_starts_shares_and_weights_are_read(tmp_path):
    table = load(tmp_path, GOOD)
    assert table.curve == Curve('Mpx', 'AP') and table.rows[0].series == 's'
    scenes, coco = (table.rows[0].entries[kind] for kind in ('scenes', 'coco'))
    assert (scenes.start, scenes.share, scenes.weights) == (Source(PLAIN), 0.5, {KEY: Source(AREAS, 0.7)})
    assert (coco.start, coco.share, coco.weights) == (Source(PLAIN), 1.0, {KEY: Source(AREAS_COCO)})


@pytest.mark.parametrize(
    ('path', 'value', 'messages'),
    [
        (['curve'], 'AP', ['curve: must be dict']),
        (['curve'], {'x': 'Mpx'}, ["curve: the key 'y' is missing"]),
        (['curve', 'z'], 'AP', ["curve: unknown key 'z'; there are x, y"]),
        (['curve', 'x'], 'pixels', ["curve.x: no heading 'pixels'; there are AP, Mpx"]),
        (['metrics', 'coco'], {'bbox_mAP': 'AP', 'cost/px': 'Mpx'}, ["unknown cost 'cost/px'; there are cost/fps, "]),
        (['rows', 0, 'series'], 1, ['row 1 (tuned): series: must be str, got 1']),
        (['rows', 0, 'scenes', 'start'], 'no.py', ['scenes.start.config: no such config', "'no.py'"]),
        (['rows', 0, 'scenes', 'start'], {'share': 0.5}, ["scenes.start: the key 'config' is missing"]),
        (['rows', 0, 'scenes', 'start'], {'config': PLAIN, 'epochs': 3}, ["scenes.start: unknown key 'epochs'"]),
        (['rows', 0, 'scenes', 'share'], 0, ['scenes.share: must be a part of the budget', 'got 0']),
        (['rows', 0, 'scenes', 'share'], 1.5, ['scenes.share: must be a part of the budget', 'got 1.5']),
        (['rows', 0, 'scenes', 'share'], True, ['scenes.share: must be int or float, got True']),
        (['rows', 0, 'coco', 'share'], 0.5, ['coco.share: coco is trained as the config says']),
        (['rows', 0, 'scenes', 'test', 'weights'], [AREAS], ['scenes.test.weights: must be dict']),
        (['rows', 0, 'scenes', 'test', 'weights'], {KEY: 3}, [f'weights.{KEY}.config: must be str, got 3']),
        (['rows', 0, 'coco', 'test', 'weights', KEY], {'config': AREAS_COCO, 'share': 0.5}, ['coco is trained as']),
    ],
)
def test_wrong_tables_are_refused(tmp_path, path, value, messages):
    content = copy.deepcopy(GOOD)
    node = content
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with pytest.raises(ValueError) as caught:
        load(tmp_path, content)
    for message in ['toy.yml', *messages]:
        assert message in str(caught.value)


def test_costs_are_none_of_pictures(tmp_path):
    row = dict(name='x', paper_only=True)
    with pytest.raises(ValueError, match=r"metrics\.mnist: 'cost/fps' is of detection"):
        load(tmp_path, dict(title='T', source='S', metrics=dict(mnist={'cost/fps': 'FPS'}), rows=[row]))
