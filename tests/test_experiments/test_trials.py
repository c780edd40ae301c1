"""Options, keys and the commands of trials."""

import hashlib
import json
import shutil

import pytest
from mmengine.config import Config, DictAction

from mmisn.datasets import SceneConfig, make_scenes
from mmisn.experiments.budget import BUDGETS, Budget
from mmisn.experiments.data import Data, coco_data, folder_data, prepare_data, subset
from mmisn.experiments.keys import canonical, file_digest
from mmisn.experiments.options import apply_options, load_config, option_args, option_text
from mmisn.experiments.tables import ROOT, Entry, Row, find_table
from mmisn.experiments.trials import NEGATIVES_EPOCHS, check_negatives, make_trial, row_trials, runs

SINGLE = 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'
ISN = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
ISN_COCO = 'configs/isn/isn-faster-rcnn_r18_fpn_8xb4-18e_coco.py'
BUDGET = Budget('demo', 4, 2, 8)


@pytest.fixture(autouse=True)
def in_root(monkeypatch):
    """Paths of configs are relative to the repository."""
    monkeypatch.chdir(ROOT)


def entry(config, options=None, tta=False, test_options=None, **kwargs):
    return Entry(config, options or {}, config, test_options or {}, tta, **kwargs)


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(folder, 4, 2, SceneConfig.small())
    return folder


def scenes_at(folder):
    ann_files = {split: folder / 'annotations' / f'instances_{split}.json' for split in ('train', 'val')}
    return Data('scenes', 'scenes', ann_files, {split: folder / split for split in ('train', 'val')})


@pytest.fixture(scope='module')
def data(scenes):
    return scenes_at(scenes)


# Options.


@pytest.mark.parametrize(
    'value', [3, 0.5, 1.0, None, True, 'a/b.json', [6.4, 224], (6.4, 224), ['mAP', 'AR@100'], [(1, 2), (3, 4)], '']
)
def test_option_text_is_read_back(value):
    assert DictAction._parse_iterable(option_text(value)) == value
    assert option_args({'a.b': value}) == ['--cfg-options', f'a.b={option_text(value)}']


@pytest.mark.parametrize('value', ['my data/x', 'a,b', ['traffic light'], '3'])
def test_options_that_would_be_read_otherwise(value):
    with pytest.raises(ValueError, match='cannot pass'):
        option_text(value)


def test_no_options_no_argument():
    assert option_args({}) == []


@pytest.mark.parametrize(
    ('key', 'message'),
    [
        ('optim_wraper.optimizer.lr', "the config has no 'optim_wraper', perhaps 'optim_wrapper' is meant"),
        ('model.backbone.dept', "model.backbone has no 'dept', perhaps 'depth' is meant"),
        ('param_scheduler.2.end', "param_scheduler has entries 0 to 1, got '2'"),
        ('optim_wrapper.optimizer.lr.x', "optim_wrapper.optimizer.lr is 0.02, which has no 'x'"),
        ('test_dataloader.dataset.pipeline.1.scale_facto', "perhaps 'scale_factor' is meant"),
    ],
)
def test_unknown_options_are_refused(key, message):
    with pytest.raises(ValueError) as caught:
        apply_options(load_config(SINGLE), {key: 1}, 'row X')
    assert str(caught.value).startswith(f'row X: option {key}: ')
    assert message in str(caught.value)


def test_options_that_a_class_takes():
    cfg = load_config(SINGLE)
    changes = {
        'test_dataloader.dataset.pipeline.1.scale': None,
        'test_dataloader.dataset.pipeline.1.scale_factor': 1.0,
        'test_evaluator.metric_items': ['mAP'],
        'param_scheduler.1.end': 3,
    }
    apply_options(cfg, changes, 'here')
    assert cfg.test_dataloader.dataset.pipeline[1].scale_factor == 1.0
    assert cfg.test_evaluator.metric_items == ['mAP']
    assert cfg.param_scheduler[1].end == 3
    # The file that everyone reads stays as it is.
    assert load_config(SINGLE).param_scheduler[1].end == 8


# Keys.


def test_canonical_form(tmp_path):
    (tmp_path / 'a.json').write_text('{}')
    content = dict(
        data_root=str(tmp_path), ann_file='a.json', data_prefix=dict(img='x'), num_workers=4, x=(1.0, 2.5, float('inf'))
    )
    digest = hashlib.sha256(b'{}').hexdigest()
    assert canonical(content) == {'annotations': digest, 'x': [1, 2.5, 'inf']}
    # An absolute path does not depend on the root.
    assert canonical(dict(data_root='elsewhere', ann_file=str(tmp_path / 'a.json')))['annotations'] == digest
    (tmp_path / 'a.json').write_text('[1]')
    assert file_digest(str(tmp_path / 'a.json')) == hashlib.sha256(b'[1]').hexdigest()
    with pytest.raises(ValueError, match='no annotation file'):
        canonical(dict(ann_file='none.json'))


def keys(trial):
    return trial.training.key, trial.key


@pytest.fixture(scope='module')
def plain(data, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return make_trial(entry(ISN, tta=True), data, BUDGET, 0, tmp_path_factory.mktemp('out'))


def test_keys_do_not_depend_on_places(plain, scenes, tmp_path):
    elsewhere = tmp_path / 'other'
    shutil.copytree(scenes, elsewhere)
    other = make_trial(entry(ISN, tta=True), scenes_at(elsewhere), BUDGET, 0, tmp_path / 'out')
    assert keys(other) == keys(plain)
    assert other.name == plain.name
    # One annotation more is another training and another test.
    path = elsewhere / 'annotations' / 'instances_train.json'
    content = json.loads(path.read_text())
    content['annotations'].append(dict(content['annotations'][0], id=10_000))
    path.write_text(json.dumps(content))
    changed = make_trial(entry(ISN, tta=True), scenes_at(elsewhere), BUDGET, 0, tmp_path / 'out')
    assert changed.training.key != plain.training.key and changed.key != plain.key


@pytest.mark.parametrize(
    ('options', 'same'),
    [
        ({'optim_wrapper.optimizer.lr': 0.01}, False),
        ({'train_dataloader.batch_size': 4}, False),
        ({'train_dataloader.dataset.generator.scale_range': [0, 256]}, False),
        ({'train_dataloader.dataset.generator.scale_range': [6.4, 224.0]}, True),
        ({'train_dataloader.num_workers': 0}, True),
        ({'train_cfg.val_interval': 1}, True),
        ({'default_hooks.logger.interval': 1}, True),
        ({'tta_model.max_per_img': 50}, True),
    ],
)
def test_what_a_training_key_follows_from(plain, data, tmp_path, options, same):
    trial = make_trial(entry(ISN, options, tta=True), data, BUDGET, 0, tmp_path)
    assert (trial.training.key == plain.training.key) == same


def test_seed_and_test_are_in_the_keys(plain, data, tmp_path):
    seeded = make_trial(entry(ISN, tta=True), data, BUDGET, 1, tmp_path)
    assert seeded.training.key != plain.training.key
    alone = make_trial(entry(ISN), data, BUDGET, 0, tmp_path)
    ranged = make_trial(entry(ISN, {'tta_model.scale_range': [0, 256]}, tta=True), data, BUDGET, 0, tmp_path)
    sized = make_trial(
        entry(ISN, test_options={'test_dataloader.dataset.pipeline.1.scale': (320, 192)}), data, BUDGET, 0, tmp_path
    )
    trials = [plain, alone, ranged, sized]
    assert len({t.training.key for t in trials}) == 1
    assert len({t.key for t in trials}) == 4
    negative = make_trial(entry(ISN, tta=True), data, BUDGET, 0, tmp_path, negatives=True)
    assert negative.training.key != plain.training.key


def test_table5_shares_the_range_that_the_paper_chose(data, tmp_path):
    """[16, 560] of Table 5 is the ISN row of Table 6: trained and tested once."""
    (chosen,) = find_table('table5').choose(['[16, 560]'])
    (isn,) = find_table('table6').choose(['+ISN, ResNet-18-FPN'])
    trials = [row_trials(row, data, BUDGET, [0], tmp_path)[0] for row in (chosen, isn)]
    assert keys(trials[0]) == keys(trials[1])


def test_table7_tests_the_networks_of_table6(data, tmp_path):
    rows = find_table('table7').rows
    trained = [row_trials(row, data, BUDGET, [0], tmp_path)[0] for row in rows]
    table6 = [row_trials(r, data, BUDGET, [0], tmp_path)[0] for r in find_table('table6').choose(['MobileNet-v2-FPN'])]
    assert [t.training.key for t in trained] == [t.training.key for t in table6 for _ in range(2)]
    assert len({t.key for t in trained}) == 6
    raw = trained[0].cfg.test_dataloader.dataset.pipeline[1]
    assert (raw.scale, raw.scale_factor) == (None, 1.0)


# Commands.


def test_commands(plain, data, scenes):
    training = plain.training
    command = training.command(gpus=0)
    assert command[:4] == ['mim', 'train', 'mmdet', ISN]
    assert command[4:8] == ['--work-dir', str(training.folder), '--gpus', '0']
    # 4 images: one batch of 8 chips is filled up, which is part of the pixels.
    options = dict(option.split('=', 1) for option in command[command.index('--cfg-options') + 1 :])
    assert options['randomness.seed'] == '0'
    assert options['train_dataloader.dataset.dataset.data_root'] == f'{scenes}/'
    assert options['test_evaluator.ann_file'] == str(data.ann_files['val'])
    assert int(options['train_cfg.max_epochs']) == training.epochs == int(options['param_scheduler.1.end'])
    assert options['param_scheduler.1.milestones'] == f'[{round(0.75 * training.epochs)}]'
    assert options['custom_hooks.0.begin'] == str(round(0.4 * training.epochs))
    assert training.command(gpus=1, resume=True)[6:9] == ['--gpus', '1', '--resume']
    test = plain.command(gpus=0)
    assert test[:6] == ['mim', 'test', 'mmdet', ISN, '--checkpoint', f'{training.folder}/epoch_{training.epochs}.pth']
    assert '--tta' in test
    assert test[-1] == f'test_evaluator.outfile_prefix={plain.folder}/predictions'
    # What mim would read of it is what the keys were made of.
    cfg = Config.fromfile(ISN)
    parsed = {k: DictAction._parse_iterable(v) for k, v in options.items()}
    cfg.merge_from_dict(parsed)
    assert canonical(cfg.to_dict()) == canonical(training.cfg.to_dict())


def test_single_scale_has_no_tta(data, tmp_path):
    trial = make_trial(entry(SINGLE), data, BUDGET, 3, tmp_path)
    assert trial.training.epochs == 8
    assert '--tta' not in trial.command(gpus=0)
    with pytest.raises(ValueError, match='it has no tta_model'):
        make_trial(entry(SINGLE, tta=True), data, BUDGET, 0, tmp_path)


def test_negative_chips_are_mined_first(data, tmp_path):
    training = make_trial(entry(ISN), data, BUDGET, 0, tmp_path, negatives=True).training
    proposals = str(training.folder / 'proposals.npz')
    mine = training.mine_command()
    assert mine[:6] == ['python', 'tools/mine_negative_chips.py', ISN, '--out', proposals, '--epochs']
    assert mine[6] == str(NEGATIVES_EPOCHS)
    options = training.command(0)
    assert f'train_dataloader.dataset.negatives.proposals={proposals}' in options
    assert set(mine[mine.index('--cfg-options') :]) < set(options)
    with pytest.raises(ValueError, match='trains on CocoDataset, which has no chips'):
        make_trial(entry(SINGLE), data, BUDGET, 0, tmp_path, negatives=True)
    cfg = load_config(ISN)
    cfg.train_dataloader.dataset.negatives = dict(per_image=2)
    check_negatives(cfg, True, 'here')
    with pytest.raises(ValueError, match='here: it trains on negative chips; the row must say negatives: true'):
        check_negatives(cfg, False, 'here')


def test_unknown_options_name_the_row(data, tmp_path):
    row = Row('ISN', 'R18', {}, {'scenes': entry(ISN, {'optim_wraper.lr': 1})})
    with pytest.raises(ValueError, match=r'^row ISN, R18: configs/isn/.*optim_wraper'):
        row_trials(row, data, BUDGET, [0], tmp_path)


def test_rows_that_are_not_run(data, tmp_path):
    large = Row('ISN', 'R50', {}, {'scenes': entry(ISN, smoke_only=True)})
    assert runs(large, 'scenes', BUDGETS['smoke']) and not runs(large, 'scenes', BUDGETS['table'])
    assert not runs(large, 'coco', BUDGETS['smoke'])
    assert row_trials(large, data, BUDGET, [0, 1], tmp_path) == []
    assert len(row_trials(Row('ISN', '', {}, {'scenes': entry(ISN)}), data, BUDGET, [0, 1], tmp_path)) == 2


# Data.


@pytest.fixture
def own_data(tmp_path):
    """A folder in COCO's format whose classes have blanks in their names."""
    root = tmp_path / 'mine'
    (root / 'annotations').mkdir(parents=True)
    (root / 'images').mkdir()
    categories = [dict(id=9, name='traffic light'), dict(id=4, name='stop, sign')]
    for split, first in (('train', 0), ('val', 100)):
        images = [dict(id=first + i, file_name=f'{i}.png', width=64, height=48) for i in range(6)]
        annotations = [
            dict(id=i, image_id=first + i, category_id=4, bbox=[1, 1, 40, 30], area=1200, iscrowd=int(i == 2))
            for i in range(1, 6)
        ]
        content = dict(images=images, annotations=annotations, categories=categories)
        (root / 'annotations' / f'instances_{split}.json').write_text(json.dumps(content))
    return root


def test_a_folder_of_ones_own(own_data, tmp_path):
    data = prepare_data(str(own_data), BUDGETS['table'], tmp_path / 'out', 1)
    assert data.classes == ('stop, sign', 'traffic light')
    assert (data.name, data.kind) == ('mine', 'coco')
    trial = make_trial(entry(ISN_COCO, tta=True), data, BUDGETS['table'], 0, tmp_path / 'out')
    cfg = Config.fromfile(trial.training.config)
    train = cfg.train_dataloader.dataset.dataset
    assert (train.data_root, train.ann_file) == ('', str(own_data / 'annotations/instances_train.json'))
    assert train.data_prefix.img == f'{own_data}/images/'
    assert train.metainfo.classes == data.classes == cfg.test_dataloader.dataset.metainfo.classes
    assert cfg.test_evaluator.ann_file == str(own_data / 'annotations/instances_val.json')
    assert cfg.model.roi_head.bbox_head.num_classes == 2
    assert 'num_classes' not in cfg.model.rpn_head
    # All else is the table's config.
    assert cfg.train_dataloader.dataset.generator == Config.fromfile(ISN_COCO).train_dataloader.dataset.generator
    assert trial.training.epochs == 18


def test_the_subset_of_a_smoke_run(own_data, tmp_path):
    data = subset(folder_data(own_data, tmp_path / 'made'), dict(train=3, val=1), tmp_path / 'made')
    # Image 0 has no object, image 2 a crowd only.
    for split, images in (('train', [1, 3, 4]), ('val', [101])):
        content = json.loads(data.ann_files[split].read_text())
        assert [image['id'] for image in content['images']] == images
        assert [annotation['image_id'] for annotation in content['annotations']] == images
        assert data.num_images(split) == len(images)


def test_missing_data(own_data, tmp_path):
    with pytest.raises(ValueError, match='which is no folder'):
        prepare_data('none', BUDGETS['table'], tmp_path, 1)
    with pytest.raises(ValueError, match=r'--data coco: .*instances_train2017\.json.* missing'):
        coco_data(tmp_path / 'coco')
    (own_data / 'annotations/instances_val.json').unlink()
    with pytest.raises(ValueError, match=r'instances_val\.json missing'):
        prepare_data(str(own_data), BUDGETS['table'], tmp_path, 1)
