"""Tables of detectors behind ScaleNet: trainings that others continue from or look through, and their budgets."""

import copy
import json
from pathlib import Path

import pytest
from mmengine.registry import init_default_scope

from mmisn.datasets import SceneConfig, make_scenes
from mmisn.experiments.budget import BUDGETS, budget_options, schedule_options
from mmisn.experiments.data import Data, folder_data
from mmisn.experiments.options import load_config
from mmisn.experiments.results import make_jobs, of_other_settings, read_results
from mmisn.experiments.table_rows import Entry, Row, Source
from mmisn.experiments.tables import ROOT, find_table
from mmisn.experiments.trials import row_trials

PLAIN = 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'
ISN = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
TUNED = 'configs/scalenet/faster-rcnn_r18-small_fpn_1xb4-upsampled_scenes.py'
AREAS = 'configs/scalenet/scalenet_mobilenetv2-small_areas6_1xb8_scenes.py'
OCTAVES = 'configs/scalenet/scalenet_mobilenetv2-small_octaves_1xb8_scenes.py'
KEY = 'model.scale_net.init_cfg.checkpoint'
SIZES = [('AP_s', 'AP_m', 'AP_l'), ('AR_s', 'AR_m', 'AR_l', 'FPS')]


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """Paths of configs are relative to the repository."""
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(folder, 4, 2, SceneConfig.small())
    ann_files = {split: folder / 'annotations' / f'instances_{split}.json' for split in ('train', 'val')}
    return Data('scenes', 'scenes', ann_files, {split: folder / split for split in ('train', 'val')})


def trials_of(table, data, out, budget='table', names=None):
    rows = find_table(table).choose(names)
    return {row.name: t for row in rows for t in row_trials(row, data, BUDGETS[budget], [0], out)}


@pytest.fixture(scope='module')
def table6(scenes, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        init_default_scope('mmdet')  # as ablate does; ISN's chips are planned
        return trials_of('scalenet-table6', scenes, tmp_path_factory.mktemp('out'))


def options_of(command):
    return dict(option.split('=', 1) for option in command[command.index('--cfg-options') + 1 :])


# Trainings and their shares of the budget.


def test_the_rows_of_table6_share_four_trainings(table6):
    """The detector, its fine-tuning, ISN's and ScaleNet, by key; nothing is trained twice."""
    assert list(table6) == [
        'Faster R-CNN',
        'Faster R-CNN with Grid-Rescale',
        'Faster R-CNN with Recursive-ScaleNet',
        'Faster R-CNN with Recursive-ScaleNet and matching',
        'Faster R-CNN (soft-NMS)',
        'Faster R-CNN with Recursive-ScaleNet (soft-NMS)',
        'Faster R-CNN Fine-tuned',
        'Faster R-CNN Fine-tuned with Recursive-ScaleNet',
        'Faster R-CNN Fine-tuned with Recursive-ScaleNet (soft-NMS)',
        'ISN, one view',
        'ISN, one view, with Recursive-ScaleNet',
    ]
    configs = {t.key: t.config for trial in table6.values() for t in trial.trainings}
    assert sorted(configs.values()) == sorted([PLAIN, TUNED, AREAS, ISN])
    assert len({trial.key for trial in table6.values()}) == 11
    # Whole, half and 0.7 of 8 x 136,640 px per image: 8 and 4 epochs of 427x320 px, 18 of 205x205 px. ISN's follow from
    # the chips.
    epochs = {t.config: t.epochs for trial in table6.values() for t in trial.trainings}
    assert epochs.pop(ISN) > 0
    assert epochs == {PLAIN: 8, TUNED: 4, AREAS: round(0.7 * 8 * 136_640 / 205**2)} and epochs[AREAS] == 18


def test_what_is_needed_comes_first(table6):
    plain, tuned = table6['Faster R-CNN'], table6['Faster R-CNN Fine-tuned with Recursive-ScaleNet']
    assert [t.config for t in tuned.trainings] == [PLAIN, TUNED, AREAS]
    assert tuned.trainings[0] == plain.training == tuned.training.start
    (job,) = make_jobs(list(table6.values()), None, Path('results'), 0)
    trained = [step.command[3] for step in job.steps if step.name == 'train']
    assert trained == [PLAIN, AREAS, TUNED, ISN] and [step.name for step in job.steps].count('test') == 11
    # By itself a fine-tuned row is preceded by all that it needs.
    (job,) = make_jobs([tuned], None, Path('results'), 0)
    assert [s.command[3] if s.name == 'train' else s.name for s in job.steps] == [PLAIN, TUNED, AREAS, 'test']


def test_commands_of_a_fine_tuned_row(table6):
    trial = table6['Faster R-CNN Fine-tuned with Recursive-ScaleNet']
    plain, tuned, areas = trial.trainings
    assert options_of(tuned.command(0))['load_from'] == str(plain.checkpoint) == f'{plain.folder}/epoch_8.pth'
    assert 'load_from' not in options_of(plain.command(0))
    # Statistics of batch norm stay those of the checkpoint from the start on.
    assert 'custom_hooks.0.begin' not in options_of(tuned.command(0))
    assert options_of(plain.command(0))['custom_hooks.0.begin'] == '3'
    test = trial.command(0)
    assert test[3] == 'configs/scalenet/recursive-faster-rcnn_r18-small_fpn_1xb4-upsampled_scenes_chip-detector.py'
    assert test[5] == str(tuned.checkpoint)
    assert options_of(test)[KEY] == str(areas.checkpoint)
    # ScaleNet's metric has no annotation file to point at.
    assert not any('evaluator' in key for key in options_of(areas.command(0)))
    assert options_of(areas.command(0))['train_dataloader.dataset.data_root'].endswith('/scenes/')


def test_matching_is_one_option(table6):
    off, on = (table6[f'Faster R-CNN with Recursive-ScaleNet{end}'] for end in ('', ' and matching'))
    assert options_of(on.command(0))['model.match.tolerance'] == '1'
    assert 'match' not in off.cfg.model and on.cfg.model.match == dict(tolerance=1) and on.key != off.key


def test_keys_follow_from_what_a_training_continues_from(scenes, table6, tmp_path):
    def trial(**changes):
        entry = Entry(TUNED, {}, TUNED, {}, **{'start': Source(PLAIN), 'share': 0.5, **changes})
        return row_trials(Row('x', '', {}, {'scenes': entry}), scenes, BUDGETS['table'], [0], tmp_path)[0]

    tuned = table6['Faster R-CNN Fine-tuned'].training
    assert trial().training.key == tuned.key
    others = [trial(start=Source(PLAIN, 0.5)), trial(share=0.25), trial(start=None)]
    assert len({tuned.key, *(t.training.key for t in others)}) == 4
    assert [t.epochs for t in others[0].trainings] == [4, 4] and others[1].training.epochs == 2
    assert others[2].training.start is None and len(others[2].trainings) == 1


def test_the_detector_of_table6_is_that_of_the_other_tables(scenes, table6, tmp_path):
    (isn_table6,) = trials_of('table6', scenes, tmp_path, names=['Baseline, ResNet-18-FPN']).values()
    assert table6['Faster R-CNN'].training.key == isn_table6.training.key
    dc5 = trials_of('scalenet-table5', scenes, tmp_path)
    (baseline,) = trials_of('table6', scenes, tmp_path, names=['Baseline, ResNet-18']).values()
    assert {t.training.key for t in dc5.values()} == {baseline.training.key}
    # One ScaleNet for Tables 5 and 6.
    nets = [dc5['Faster R-CNN with Recursive-ScaleNet'], table6['Faster R-CNN with Recursive-ScaleNet']]
    assert len({t.weights[KEY].key for t in nets}) == 1


def test_the_sweep_of_focus(scenes, tmp_path):
    trials = trials_of('scalenet-focus', scenes, tmp_path)
    assert len({t.key for t in trials.values()}) == len(trials) == 16
    assert len({t.training.key for t in trials.values()}) == 1
    assert {of.config for t in trials.values() for of in t.weights.values()} == {OCTAVES}
    assert trials['pyramid'].weights == {}
    settings = {
        name: (g.margin, g.skip_poor, g.threshold)
        for name, g in ((n, t.cfg.model.generator) for n, t in trials.items() if n != 'pyramid')
    }
    expected = {f'one level, margin {m}': (m, True, 0.4) for m in (1, 2, 4, 8, 16)}
    expected |= {f'several levels, margin {m}': (m, False, 0.4) for m in (2, 4, 8, 16)}
    expected |= {f'one level, margin 8, threshold {t}': (8, True, t) for t in (0.2, 0.3, 0.5)}
    alone = {f'one level, margin 8, views alone, threshold {t}': (8, True, t) for t in (0.3, 0.4, 0.5)}
    assert settings == expected | alone
    assert {n for n, t in trials.items() if not t.cfg.model.get('packing')} == {'pyramid', *alone}
    # What a view costs alone, in pixels, is four times what it costs on a canvas.
    assert {(n in alone, t.cfg.model.generator.grid.overhead) for n, t in trials.items() if n != 'pyramid'} == {
        (True, 16384),
        (False, 4096),
    }


# The papers' tables.


@pytest.mark.parametrize(
    ('table', 'small'),
    [
        ('scalenet-table5', [10.8, 14.4, 14.0, 11.1, 16.8]),
        ('scalenet-table6', [21.7, 22.2, 22.9, 22.7, 24.1, 22.7, 23.8, 22.8, 24.8, 24.8, 25.4]),
    ],
)
def test_the_papers_rows(table, small):
    rows = find_table(table).rows
    assert [row.paper['AP_s'] for row in rows if row.paper] == small
    assert all(
        set(row.paper) in (set(SIZES[0]), {*SIZES[0], *SIZES[1]}, {*SIZES[0], *SIZES[1][:3]})
        for row in rows
        if row.paper
    )
    # Every row of the paper that is not other people's runs on COCO.
    assert all(row.paper_only or 'coco' in row.entries for row in rows if row.paper)
    for row in rows:
        for kind, entry in row.entries.items():
            assert Path(entry.test_config).stem.endswith('_chip-detector'), row.label
            asks = 'recursive-' in entry.test_config
            assert list(entry.weights) == ([KEY] if asks else []), (row.label, kind)
            assert (entry.start is not None) == ('Fine-tuned' in row.name)
            assert ('match' in str(entry.test_options)) == ('matching' in row.name)
            assert ('soft-nms' in entry.test_config) == ('soft-NMS' in row.name)


# A folder of one's own.


@pytest.fixture
def own_data(tmp_path):
    """Three classes with blanks in their names."""
    root = tmp_path / 'mine'
    (root / 'annotations').mkdir(parents=True)
    (root / 'images').mkdir()
    categories = [dict(id=i, name=f'class {i}') for i in (1, 2, 3)]
    for split, first in (('train', 0), ('val', 100)):
        images = [dict(id=first + i, file_name=f'{i}.png', width=64, height=48) for i in range(1, 4)]
        annotations = [
            dict(id=i, image_id=first + i, category_id=2, bbox=[1, 1, 40, 30], area=1200, iscrowd=0) for i in (1, 2, 3)
        ]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return folder_data(root, tmp_path / 'made')


def test_all_trainings_are_of_the_same_folder(own_data, tmp_path):
    name = 'Faster R-CNN Fine-tuned with Recursive-ScaleNet'
    trial = trials_of('scalenet-table6', own_data, tmp_path, 'smoke', [name])[name]
    plain, tuned, net = trial.trainings
    for training in trial.trainings:
        node = training.cfg.train_dataloader.dataset
        assert node.ann_file == str(own_data.ann_files['train']) and node.metainfo.classes == own_data.classes
        assert training.epochs == 1 and Path(training.config).parent == own_data.folder / 'configs'
    for cfg in (plain.cfg.model, trial.cfg.model.detector):
        assert cfg.roi_head.bbox_head.num_classes == 3
    assert 'ann_file' not in net.cfg.val_evaluator
    assert trial.cfg.test_evaluator.ann_file == str(own_data.ann_files['val'])
    assert options_of(tuned.command(0))['load_from'] == str(plain.checkpoint)
    assert options_of(trial.command(0))[KEY] == str(net.checkpoint)
    # Nothing is loaded from the net in a smoke run.
    assert all(
        'open-mmlab' not in str(t.cfg.model) and 'torchvision://' not in str(t.cfg.model) for t in trial.trainings
    )


def test_smoke_runs_load_no_weights_of_any_part():
    cfg = load_config('configs/scalenet/faster-rcnn_r101-caffe_c4-600_1x_coco.py')
    options = budget_options(cfg, BUDGETS['smoke'], 'coco')
    assert {k for k in options if k.endswith('init_cfg')} == {
        'model.backbone.init_cfg',
        'model.roi_head.shared_head.init_cfg',
    }


# Schedules.


def test_a_cosine_behind_a_warm_up():
    cfg = load_config(AREAS)
    assert schedule_options(cfg, 18) == {
        'train_cfg.max_epochs': 18,
        'param_scheduler.1.begin': 1,
        'param_scheduler.1.T_max': 17,
        'param_scheduler.1.end': 18,
    }
    # The config's own.
    assert schedule_options(cfg, 16)['param_scheduler.1.T_max'] == cfg.param_scheduler[1].T_max == 15
    # Too short for a warm-up of its own.
    assert schedule_options(cfg, 1) == {
        'train_cfg.max_epochs': 1,
        'param_scheduler.1.T_max': 1,
        'param_scheduler.1.end': 1,
    }


# Results.


def test_a_result_counts_all_trainings_and_the_views(table6, scenes, tmp_path):
    trial = table6['Faster R-CNN Fine-tuned with Recursive-ScaleNet']
    (job,) = make_jobs([trial], scenes, tmp_path / 'results', 0)
    *trainings, test = job.steps
    for seconds, step in zip((10.0, 5.0, 20.0), trainings):
        step.ended(seconds)
    test.ended(4.0)
    log = test.log.parent / 'now' / 'now.json'
    log.parent.mkdir(parents=True, exist_ok=True)
    cost = {'cost/views': 3.5, 'cost/mpix': 0.3, 'cost/scale_net_mpix': 0.1, 'cost/seconds': 0.25}
    log.write_text(json.dumps({'coco/bbox_mAP': 0.4, **cost, 'data_time': 0.1, 'time': 0.5}))
    test.after()
    (result,) = read_results(tmp_path / 'results').values()
    assert result['metrics'] == {'coco/bbox_mAP': 0.4, **cost}
    assert result['seconds'] == dict(train=35.0, test=4.0, test_per_image=0.5)
    per_epoch = [136_640, 136_640, 42_025]
    epochs = [8, 4, 18]
    assert result['pixels'] == dict(
        train_per_image_epoch=sum(per_epoch),
        train=sum(4 * n * e for n, e in zip(per_epoch, epochs)),
        test_per_image=400_000,
    )
    assert (result['start'], result['share']) == (PLAIN, 0.5)
    assert result['test']['weights'] == {KEY: dict(config=AREAS, share=0.7)}
    assert [(t['config'], t['epochs']) for t in result['others']] == [(PLAIN, 8), (AREAS, 18)]
    assert [t['train_key'] for t in result['others']] == [trial.trainings[i].key for i in (0, 2)]
    assert list(result['commands']) == ['train to start from', 'train', f'train for {KEY}', 'test']
    changed = dict(copy.deepcopy(result), test_key='of before')
    assert of_other_settings(trial, [changed]) and not of_other_settings(trial, [dict(changed, share=1)])


def test_weights_of_an_option_that_the_test_does_not_have(scenes, tmp_path):
    entry = Entry(PLAIN, {}, PLAIN, {}, weights={'model.scale_nets.init_cfg.checkpoint': Source(AREAS)})
    with pytest.raises(
        ValueError, match=r"row x: configs/baselines/.*: option model\.scale_nets\..* has no 'scale_nets'"
    ):
        row_trials(Row('x', '', {}, {'scenes': entry}), scenes, BUDGETS['smoke'], [0], tmp_path)
