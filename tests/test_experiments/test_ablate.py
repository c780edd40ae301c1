"""``tools/ablate.py`` from arguments to files; what mim would do is done by a stand-in that writes metrics."""

import importlib.util
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from mim_stand_in import Mim

from mmisn.experiments import keys
from mmisn.experiments.budget import BUDGETS
from mmisn.experiments.data import Data
from mmisn.experiments.kinds import PICTURE_KINDS
from mmisn.experiments.pixels import Pixels, TrainingCost
from mmisn.experiments.results import read_results
from mmisn.experiments.table_rows import Entry, Source
from mmisn.experiments.tables import ROOT
from mmisn.experiments.trials import make_trial

TOOL = ROOT / 'tools' / 'ablate.py'
SINGLE = 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'
ISN = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
TABLE = f"""
title: Toy
source: nowhere
metrics:
  coco: {{bbox_mAP: AP}}
  scenes: {{bbox_mAP: AP}}
rows:
  - {{name: Baseline, backbone: R18, paper: {{AP: 33.3}}, scenes: {{config: {SINGLE}}}}}
  - {{name: ISN, backbone: R18, paper: {{AP: 38.7}}, scenes: {{config: {ISN}, test: {{tta: true}}}}}}
  - {{name: ISN, backbone: R50, paper: {{AP: 45}}, scenes: {{config: {ISN}, train: smoke-only, options: {{NEW}}}}}}
  - {{name: SSD, paper: {{AP: 22.1}}, paper_only: true}}
""".replace('{NEW}', '{optim_wrapper.optimizer.lr: 0.01}')


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('ablate_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def out(tmp_path_factory):
    """A folder that keeps the scenes over the tests."""
    return tmp_path_factory.mktemp('out')


@pytest.fixture
def run(tool, out, tmp_path, monkeypatch, capsys):
    """Run the tool on the toy table; returns exit status, what it printed, and the commands that it ran."""
    (tmp_path / 'toy.yml').write_text(TABLE)
    shutil.rmtree(out / 'runs', ignore_errors=True)

    def run(*args, fail=()):
        mim = Mim(fail)
        monkeypatch.setattr('mmisn.experiments.run.run_jobs', mim)
        monkeypatch.chdir(tmp_path)
        folders = ['--out', str(out), '--results', str(tmp_path / 'results')]
        capsys.readouterr()
        status = tool.main(['toy.yml', '--jobs', '1', *folders, *args])
        captured = capsys.readouterr()
        return status, captured.out + captured.err, mim.commands

    return run


def test_rows_are_run_once(run, out, tmp_path):
    status, text, commands = run('--seeds', '0', '1', '--rows', 'R18')
    assert status == 0
    # Two rows, two seeds, a training and a test each; seed 0 of all rows first.
    assert [('train' in c.split()[:2], 'seed=1' in c) for c in commands] == [
        *[(True, False), (False, False)] * 2,
        *[(True, True), (False, True)] * 2,
    ]
    assert '| ISN      | R18      | 2 seeds | 40.0 ± 0.0 |  38.7 |' in text
    assert all((out / f'toy.{suffix}').is_file() for suffix in ('md', 'csv', 'png'))
    kept = read_results(tmp_path / 'results')
    assert {(r['config'], r['seed']) for r in kept.values()} == {(c, s) for c in (SINGLE, ISN) for s in (0, 1)}
    # Half a second per batch of one.
    assert all(r['seconds'] == {'train': 8.0, 'test': 8.0, 'test_per_image': 0.5} for r in kept.values())

    # A second time, and with one seed and one row more.
    assert run('--seeds', '0', '1', '--rows', 'R18')[2] == []
    commands = run('--seeds', '0', '--rows', 'R18', 'ISN, R50')[2]
    assert len(commands) == 2 and all('optim_wrapper.optimizer.lr=0.01' in c for c in commands)


def test_dry_run_prints_what_would_be_run(run, out):
    status, text, commands = run('--dry-run')
    assert (status, commands) == (0, [])
    lines = [line.split(' --')[0] for line in text.splitlines() if line.startswith('mim ')]
    assert lines == [f'mim {what} mmdet {config}' for config in (SINGLE, ISN, ISN) for what in ('train', 'test')]
    assert '0 of 3 results are there, 3 are missing' in text


def test_no_run_makes_the_table_of_what_is_there(run):
    status, text, commands = run('--no-run')
    assert (status, commands) == (0, [])
    assert '| ISN      | R18      | not trained |' in text
    assert '| SSD      |          | paper only  |' in text


def test_a_failing_row_is_told_by_the_exit_status(run, tmp_path):
    status, text, _ = run('--rows', 'R18', fail=['isn-'])
    assert status == 1
    assert '1 failed: isn-faster-rcnn_r18-small_fpn_1xb8, seed 0' in text
    assert '| Baseline | R18      | 1 seed ' in text and '| ISN      | R18      | not trained' in text
    assert len(read_results(tmp_path / 'results')) == 1


def test_a_result_of_other_settings_is_reported(run, tmp_path):
    run('--rows', 'Baseline')
    (path,) = (tmp_path / 'results').iterdir()
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(content, test_key='of before')))
    text = run('--rows', 'Baseline', '--no-run')[1]
    assert 'is of other settings, the config has changed' in text


@pytest.mark.parametrize(
    ('args', 'messages'),
    [
        (['--rows', 'R101'], ["toy has no row 'R101'", 'Baseline, R18']),
        (['--data', 'nowhere'], ['nowhere', 'which is no folder']),
        (['--data', 'coco', '--budget', 'demo'], ['the budget demo is one for scenes']),
    ],
)
def test_mistakes_are_told_before_anything_runs(run, args, messages):
    status, text, commands = run(*args)
    assert (status, commands) == (2, [])
    for message in ['ablate.py: error: ', *messages]:
        assert message in text


def test_an_unknown_option_is_told_before_anything_runs(run, tmp_path):
    (tmp_path / 'toy.yml').write_text(TABLE.replace('optimizer.lr', 'optimiser.lr'))
    status, text, commands = run()
    assert (status, commands) == (2, [])
    assert 'row ISN, R50: configs/isn/' in text and "perhaps 'optimizer' is meant" in text


def test_unknown_tables(tool, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert tool.main(['table99']) == 2
    assert "no table 'table99'; there are " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.main([])
    assert tool.main(['--list']) == 0
    assert 'table7: Single-scale test' in capsys.readouterr().out


def source_of(spelled):
    """A training that another one, or a test, needs, as a result spells it."""
    return Source(**spelled) if isinstance(spelled, dict) else Source(spelled) if spelled else None


def pixels(cfg, of_config):
    return of_config[str(Path(cfg.filename).relative_to(ROOT) if Path(cfg.filename).is_absolute() else cfg.filename)]


def test_results_of_the_repository_fit_its_configs(monkeypatch):
    """The keys of every kept result are those of its row today: else nobody would find it."""
    monkeypatch.chdir(ROOT)
    kept = [r for name in ('isn', 'scalenet') for r in read_results(ROOT / f'configs/{name}/results').values()]
    kept = [result for result in kept if result['data'] not in PICTURE_KINDS]
    assert len(kept) >= 9
    for result in kept:
        annotations = result['annotations']
        monkeypatch.setattr(keys, 'file_digest', lambda path, a=annotations: a['train' if 'train' in path else 'val'])
        test = result['test']
        sources = [result.get('start'), *test.get('weights', {}).values()]
        sources = [source_of(s) for s in sources] + [Source(result['config'], result.get('share', 1.0))]
        epochs = {t['config']: t['epochs'] for t in (*result.get('others', ()), result)}
        # Such that the budget comes to the number of epochs.
        plain = {s.config: BUDGETS['table'].pixels_per_image * s.share / epochs[s.config] for s in sources if s}
        monkeypatch.setattr(
            'mmisn.experiments.budget.training_cost',
            lambda cfg, of=plain: TrainingCost(Pixels(*[pixels(cfg, of)] * 2), 8),
        )
        ann_files = {split: Path(f'x/annotations/instances_{split}.json') for split in annotations}
        data = Data('scenes', 'scenes', ann_files, {})
        entry = Entry(result['config'], result['options'], test['config'], test['options'], test['tta'])
        weights = {key: source_of(s) for key, s in test.get('weights', {}).items()}
        entry = replace(entry, weights=weights, start=sources[0], share=sources[-1].share)
        trial = make_trial(entry, data, BUDGETS['table'], result['seed'], Path('out'), result['negatives'])
        assert (trial.training.key, trial.key) == (result['train_key'], result['test_key'])
