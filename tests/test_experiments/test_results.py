"""Results that are kept and found again, jobs that resume, and the tables made of results."""

import csv
import hashlib
import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from mmisn.experiments.budget import BUDGETS
from mmisn.experiments.report import csv_cells, markdown, write_report
from mmisn.experiments.report_row import ReportRow
from mmisn.experiments.results import (
    RESULT_KEYS,
    is_trained,
    last_checkpoint,
    make_jobs,
    make_result,
    of_other_settings,
    progress_of_test,
    progress_of_training,
    read_metrics,
    read_results,
    write_result,
)
from mmisn.experiments.tables import Entry, Row, Table
from mmisn.experiments.trials import Training, Trial


def training(folder, negatives=False, key='k1'):
    return Training('isn, seed 0', 'isn.py', {'a.b': 1}, 3, folder, key, negatives, cfg=None)


def trial(of, folder, key='t1'):
    entry = Entry('isn.py', {}, 'isn.py', {}, tta=True)
    cfg = SimpleNamespace(test_dataloader=SimpleNamespace(batch_size=2))
    return Trial(f'name_{key}', of, entry, 'scenes', BUDGETS['table'], 0, 'isn.py', {}, folder, key, cfg)


def result(key='t1', **changes):
    return {
        **dict.fromkeys(RESULT_KEYS),
        **dict(test_key=key, data='scenes', budget=dict(name='table'), seed=0, config='isn.py', options={}),
        **dict(negatives=False, test=dict(config='isn.py', options={}, tta=True), images=dict(train=8, val=4)),
        **dict(seconds={}, pixels={}, metrics={}),
        **changes,
    }


# Files.


def test_results_are_found_by_key(tmp_path):
    write_result(tmp_path / 'new' / 'a.json', result('t1', seed=3))
    write_result(tmp_path / 'new' / 'b.json', result('t2'))
    found = read_results(tmp_path / 'new')
    assert set(found) == {'t1', 't2'} and found['t1']['seed'] == 3
    assert [path.name for path in (tmp_path / 'new').iterdir() if path.suffix != '.json'] == []
    assert read_results(tmp_path / 'none') == {}


def test_damaged_results(tmp_path):
    write_result(tmp_path / 'a.json', result('t1'))
    write_result(tmp_path / 'b.json', result('t1'))
    with pytest.raises(ValueError, match=r'b\.json: another file of .* has the same test_key t1'):
        read_results(tmp_path)
    (tmp_path / 'b.json').write_text('{"data": 1}')
    with pytest.raises(ValueError, match=r'b\.json: no result of a trial, it lacks budget, seed'):
        read_results(tmp_path)
    (tmp_path / 'b.json').write_text('{')
    with pytest.raises(ValueError, match=r'b\.json: no valid JSON'):
        read_results(tmp_path)


def test_results_of_other_settings(tmp_path):
    wanted = trial(training(tmp_path), tmp_path, 'new')
    assert of_other_settings(wanted, [result('old')])
    for changes in (dict(seed=1), dict(budget=dict(name='demo')), dict(options={'a': 1}), dict(negatives=True)):
        assert not of_other_settings(wanted, [result('old', **changes)])


def test_metrics_of_the_newest_test(tmp_path):
    with pytest.raises(ValueError, match='the test has left no metrics'):
        read_metrics(tmp_path)
    for name, value in (('20260101_000001', 0.1), ('20260101_000002', 0.2)):
        (tmp_path / name / 'vis_data').mkdir(parents=True)
        (tmp_path / name / f'{name}.json').write_text(json.dumps({'coco/bbox_mAP': value, 'time': 0.5}) + '\n')
        (tmp_path / name / 'vis_data' / 'x.json').write_text('{}')
    assert read_metrics(tmp_path) == {'coco/bbox_mAP': 0.2, 'time': 0.5}


def test_progress():
    text = 'Epoch(train)  [2][ 50/100]  lr: 1 loss: 0.9\n... Epoch(train)  [3][ 25/100] time: 1  loss: 0.7012  x: 1\n'
    assert progress_of_training(text, 5) == ((2 + 0.25) / 5, 'epoch 3/5, loss 0.7012')
    assert progress_of_training('nothing yet', 5) == (0.0, 'training')
    assert progress_of_test('Epoch(test) [ 50/200] ...') == (0.25, 'testing')
    assert progress_of_test('') == (0.0, 'testing')


# Resuming.


def jobs_of(trials, tmp_path):
    return make_jobs(trials, data=None, results=tmp_path / 'results', gpus=0)


def names(job):
    return [step.name for step in job.steps]


def test_what_has_been_done_is_not_done_again(tmp_path):
    of = training(tmp_path)
    (job,) = jobs_of([trial(of, tmp_path / 'test')], tmp_path)
    assert names(job) == ['train', 'test']
    assert '--resume' not in job.steps[0].command

    # Interrupted in the second epoch: goes on.
    (tmp_path / 'epoch_1.pth').touch()
    (tmp_path / 'last_checkpoint').write_text('/somewhere/else/epoch_1.pth')
    assert last_checkpoint(tmp_path) == tmp_path / 'epoch_1.pth' and not is_trained(of)
    (job,) = jobs_of([trial(of, tmp_path / 'test')], tmp_path)
    assert names(job) == ['train', 'test'] and '--resume' in job.steps[0].command

    # Interrupted while the checkpoint of the last epoch was written: the recorded one is gone.
    (tmp_path / 'epoch_1.pth').unlink()
    (tmp_path / 'epoch_3.pth').touch()
    (job,) = jobs_of([trial(of, tmp_path / 'test')], tmp_path)
    assert names(job) == ['train', 'test'] and '--resume' not in job.steps[0].command

    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'epoch_3.pth'))
    assert is_trained(of)
    (job,) = jobs_of([trial(of, tmp_path / 'test')], tmp_path)
    assert names(job) == ['test']


def test_negative_chips_are_mined_once(tmp_path):
    of = training(tmp_path, negatives=True)
    assert names(jobs_of([trial(of, tmp_path)], tmp_path)[0]) == ['mine', 'train', 'test']
    of.proposals.touch()
    assert names(jobs_of([trial(of, tmp_path)], tmp_path)[0]) == ['train', 'test']


def test_equal_trainings_are_one_job(tmp_path):
    one, other = training(tmp_path / 'a', key='k1'), training(tmp_path / 'b', key='k2')
    trials = [trial(one, tmp_path, 't1'), trial(other, tmp_path, 't2'), trial(one, tmp_path, 't3')]
    # A row that two tables share comes twice.
    jobs = jobs_of([*trials, trials[0]], tmp_path)
    assert [names(job) for job in jobs] == [['train', 'test', 'test'], ['train', 'test']]


def test_seconds_of_an_interrupted_training_add_up(tmp_path, monkeypatch):
    of = training(tmp_path)
    kept = trial(of, tmp_path / 'test')
    train, test = jobs_of([kept], tmp_path)[0].steps
    train.ended(10.0)
    train.ended(2.5)
    test.ended(4.0)
    (tmp_path / 'test' / 'now').mkdir(parents=True)
    log = {'coco/bbox_mAP': 0.3, 'data_time': 0.1, 'time': 0.5}
    (tmp_path / 'test' / 'now' / 'now.json').write_text(json.dumps(log))
    calls = []
    monkeypatch.setattr(
        'mmisn.experiments.results.make_result', lambda *args: calls.append(args) or dict(args[2], seconds=args[3])
    )
    test.after()
    # Half a second for a batch of two.
    expected = {'coco/bbox_mAP': 0.3, 'seconds': {'train': 12.5, 'test': 4.0, 'test_per_image': 0.25}}
    assert json.loads((tmp_path / 'results' / 'name_t1.json').read_text()) == expected
    assert calls[0][0] is kept


def test_what_a_result_says(tmp_path, monkeypatch):
    cost = SimpleNamespace(pixels=SimpleNamespace(padded=1000.4), images=8)
    monkeypatch.setattr('mmisn.experiments.results.training_cost', lambda cfg: cost)
    monkeypatch.setattr('mmisn.experiments.results.pixels_of_test', lambda cfg, ann_file, tta: 77.0 if tta else 7.0)
    (tmp_path / 'val.json').write_text('{}')
    ann_files = dict(val=tmp_path / 'val.json')
    data = SimpleNamespace(kind='scenes', root=None, ann_files=ann_files, num_images=lambda split: 4)
    kept = make_result(trial(training(tmp_path, negatives=True), tmp_path), data, {'coco/bbox_mAP': 0.3}, {}, 0)
    assert set(RESULT_KEYS) <= set(kept)
    assert kept['pixels'] == dict(train_per_image_epoch=1000, train=round(1000.4 * 8 * 3), test_per_image=77)
    assert (kept['train_key'], kept['test_key'], kept['epochs'], kept['seed']) == ('k1', 't1', 3, 0)
    assert kept['budget'] == dict(name='table', images=800, val_images=200, epochs=8)
    assert kept['images'] == dict(train=8, val=4)
    assert kept['annotations'] == dict(val=hashlib.sha256(b'{}').hexdigest())
    assert list(kept['commands']) == ['mine', 'train', 'test']
    assert kept['commands']['train'].startswith('mim train mmdet isn.py --work-dir ')


# The table.


def row(name, **kwargs):
    entries = {'scenes': Entry('a.py', {}, 'a.py', {})}
    return Row(name, 'R18', kwargs.pop('paper', {}), kwargs.pop('entries', entries), **kwargs)


def seeds(*values):
    """Results of AP and small AP (-1: no such objects), with costs."""
    return [
        result(
            metrics={'coco/bbox_mAP': ap, 'coco/bbox_mAP_0_12.8': small},
            pixels=dict(train=874e6, test_per_image=136_640),
            seconds=dict(test_per_image=0.1 * (i + 1)) if i else dict(test=40.0),
        )
        for i, (ap, small) in enumerate(values)
    ]


TABLE = Table(
    'toy',
    'Toy',
    'here',
    dict(coco={}, scenes={'bbox_mAP': 'AP', 'bbox_mAP_0_12.8': 'AP_s'}),
    (),
    ('a note',),
    ('of scenes',),
)
ROWS = [
    ReportRow(row('ISN', paper=dict(AP=38.7, AP_s=26.5)), seeds((0.40, -1), (0.44, 0.1), (0.45, 0.3)), 'scenes'),
    ReportRow(row('one', paper=dict(AP=33.3)), seeds((0.377, 0.09)), 'scenes'),
    ReportRow(row('large', paper=dict(AP=45.0)), [], 'scenes'),
    ReportRow(row('SSD', paper=dict(AP=22.1), entries={}, paper_only=True), [], 'scenes'),
    ReportRow(row('coco', entries={'coco': Entry('a.py', {}, 'a.py', {})}), [], 'scenes'),
]


def test_a_row_may_show_a_part_of_a_test():
    """Its metrics have a prefix; what the test has cost is not what the part would have."""
    found = seeds((0.9, 0.8))[0]
    found['metrics'] = {'accuracy/28': 0.9, 'accuracy/once_28': 0.25}
    table = Table('toy', 'Toy', 'here', dict(mnist={'28': '28 px'}), ())
    rows = [
        ReportRow(row(name, entries={'mnist': Entry('a.py', {}, 'a.py', {}, prefix=prefix)}), [found], 'mnist')
        for name, prefix in (('recursion', ''), ('once', 'once_'))
    ]
    text = markdown(table, rows, table.metrics['mnist'], [])
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert lines[2] == ['recursion', 'R18', '1 seed', '90.00', '-', '0.874', '0.137', '10']
    assert lines[3] == ['once', 'R18', '1 seed', '25.00', '-', '0.874', '-', '-']


def test_numbers_of_the_table():
    text = markdown(TABLE, ROWS, TABLE.metrics['scenes'], ['a note'])
    lines = [[cell.strip() for cell in line.strip('|').split('|')] for line in text.splitlines() if line[:1] == '|']
    assert lines[0][:7] == ['', 'backbone', 'ours', 'AP', 'paper', 'AP_s', 'paper']
    # Mean 43, standard deviation of 40, 44 and 45 with two degrees of freedom: sqrt((9 + 1 + 4) / 2); small: 10 and 30.
    # A test of 4 images in 40 s; with 0.2 and 0.3 s of the others: 3.5.
    assert lines[2] == ['ISN', 'R18', '3 seeds', '43.0 ± 2.6', '38.7', '20.0 ± 14.1', '26.5', '0.874', '0.137', '3.5']
    assert lines[3] == ['one', 'R18', '1 seed', '37.7', '33.3', '9.0', '-', '0.874', '0.137', '10']
    assert lines[4] == ['large', 'R18', 'not trained', '-', '45.0', '-', '-', '-', '-', '-']
    assert lines[5] == ['SSD', 'R18', 'paper only', '-', '22.1', '-', '-', '-', '-', '-']
    assert lines[6][2] == 'no such row'
    assert text.startswith('## Toy\n\nhere.\n') and text.endswith('\n- a note\n')


def test_csv_has_plain_numbers():
    header, cells = csv_cells(ROWS, TABLE.metrics['scenes'])
    found = dict(zip(header, cells[0]))
    assert found['AP mean'] == 43.0 and found['AP std'] == pytest.approx(np.sqrt(7), abs=1e-6)
    assert (found['AP paper'], found['seeds'], found['state']) == (38.7, 3, '3 seeds')
    assert (found['AP_s mean'], found['AP_s paper']) == (20.0, 26.5)
    empty = dict(zip(header, cells[2]))
    assert [empty[k] for k in ('AP mean', 'AP std', 'AP_s paper', 'training Gpx')] == [''] * 4


def test_three_files(tmp_path):
    text = write_report(TABLE, ROWS, tmp_path / 'out' / 'toy', ['how'])
    assert text.endswith('- a note\n- of scenes\n- how\n\n![Toy](toy.png)\n')
    assert (tmp_path / 'out' / 'toy.md').read_text() == text
    with open(tmp_path / 'out' / 'toy.csv') as file:
        assert [line['name'] for line in csv.DictReader(file)] == ['ISN', 'one', 'large', 'SSD', 'coco']
    picture = cv2.imread(str(tmp_path / 'out' / 'toy.png'))[..., ::-1].astype(int)
    blue = np.abs(picture - [31, 119, 180]).sum(axis=2) < 30
    # Ours are drawn in both panels.
    assert all(half.sum() > 50 for half in np.array_split(blue, 2, axis=1))
