import csv
import json

import cv2
import numpy as np
import pytest

from mmisn.visualization.comparison import (
    by_method,
    draw_comparison,
    plot_octaves,
    range_columns,
    scale_bounds,
    write_table,
)


def result(method, seed, ap, small, empty=-1.0):
    metrics = {
        'coco/bbox_mAP': ap,
        'coco/bbox_mAP_50': 2 * ap,
        'coco/bbox_mAP_75': 0.0,
        'coco/bbox_mAP_s': 0.9,
        'coco/bbox_mAP_8_16': small,
        'coco/bbox_mAP_16_32': 0.5,
        'coco/bbox_mAP_16_inf': empty,
        'coco/bbox_AR_8_16': 0.7,
    }
    return dict(method=method, seed=seed, metrics=metrics, seconds=dict(train=10.0 * (seed + 1), test=2.0))


RESULTS = [result('isn', 0, 0.30, 0.1), result('isn', 1, 0.34, 0.3), result('single-scale', 0, 0.2, 0.05)]


@pytest.mark.parametrize(
    ('key', 'bounds'),
    [
        ('coco/bbox_mAP_16_560', (16, 560)),
        ('coco/bbox_mAP_6.4_inf', (6.4, np.inf)),
        ('coco/bbox_mAP', None),
        ('coco/bbox_mAP_50', None),
        ('coco/bbox_AR_16_560', None),
    ],
)
def test_scale_bounds(key, bounds):
    assert scale_bounds(key) == bounds


def test_range_columns_are_ordered():
    assert list(range_columns(RESULTS).values()) == ['AP [8, 16]', 'AP [16, 32]', 'AP [16, inf]']


def test_values_are_percent_and_missing_ones_nan():
    assert by_method(RESULTS, 'coco/bbox_mAP')['isn'].tolist() == pytest.approx([30, 34])
    assert np.isnan(by_method(RESULTS, 'coco/bbox_mAP_16_inf')['isn']).all()


def test_table(tmp_path):
    text = write_table(RESULTS, tmp_path / 'table')
    with open(tmp_path / 'table.csv') as file:
        rows = list(csv.DictReader(file))
    assert [r['method'] for r in rows] == ['isn', 'single-scale']
    # Mean 32, and the standard deviation of 30 and 34 with one degree of freedom less.
    assert rows[0]['AP'] == '32.0 ± 2.8'
    assert rows[0]['AP [8, 16]'] == '20.0 ± 14.1'
    assert rows[0]['training s'] == '15'
    assert rows[1]['AP'] == '20.0'
    assert rows[1]['AP [16, inf]'] == '-'
    assert (tmp_path / 'table.md').read_text().strip() == text
    assert len(text.splitlines()) == 4


def test_plot(tmp_path):
    plot_octaves(RESULTS, tmp_path / 'octaves.png')
    picture = cv2.imread(str(tmp_path / 'octaves.png'))
    assert picture.shape[:2] == (520, 910)
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 50


def test_comparison_draws_boxes_of_each_method(tmp_path):
    cv2.imwrite(str(tmp_path / 'a.png'), np.full((60, 80, 3), 128, np.uint8))
    coco = dict(
        images=[dict(id=5, file_name='a.png', width=80, height=60)],
        annotations=[dict(id=1, image_id=5, category_id=3, bbox=[10, 10, 40, 30])],
        categories=[dict(id=3, name='ship')],
    )
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    found = [dict(image_id=5, category_id=3, bbox=[10, 10, 40, 30], score=0.9)]
    missed = [dict(image_id=5, category_id=3, bbox=[10, 10, 40, 30], score=0.1)]
    for name, records in (('found', found), ('missed', missed)):
        (tmp_path / f'{name}.json').write_text(json.dumps(records))
    predictions = {n: tmp_path / f'{n}.json' for n in ('found', 'missed')}
    draw_comparison(tmp_path / 'gt.json', tmp_path, predictions, tmp_path / 'out.png')
    picture = cv2.imread(str(tmp_path / 'out.png'))[..., ::-1].astype(int)
    # tab10's first colour, in the thirds of the picture: truth, found, missed. The legend is at the bottom.
    blue = (np.abs(picture - [31, 119, 180]).sum(axis=2) < 30)[: picture.shape[0] * 3 // 4]
    counts = [int(third.sum()) for third in np.array_split(blue, 3, axis=1)]
    assert counts[0] > 100
    assert counts[1] == pytest.approx(counts[0], rel=0.1)
    assert counts[2] == 0
