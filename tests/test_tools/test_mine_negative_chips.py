"""``mine_negative_chips`` from start to end on a few small scenes, and what it leaves undone."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest
from mmdet.registry import DATASETS
from mmengine.config import Config

from mmisn.datasets import chip_dataset_cfg
from mmisn.datasets.proposals import load_proposals
from mmisn.datasets.scenes import SceneConfig, make_scenes
from mmisn.experiments import proposal_mining
from mmisn.experiments.proposal_mining import mine_proposals, training_progress

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / 'configs' / 'isn' / 'isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('mine_negative_chips', ROOT / 'tools' / 'mine_negative_chips.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(folder):
    return {
        'train_dataloader.dataset.dataset.data_root': f'{folder}/scenes/',
        'train_dataloader.dataset.cache_dir': f'{folder}/plans',
        'train_dataloader.num_workers': 0,
        'train_dataloader.persistent_workers': False,
        # A pyramid of three levels, which is faster.
        'train_dataloader.dataset.generator.factors': '(2.0,1.0,0.5)',
        'train_dataloader.dataset.negatives.min_proposals': 3,
    }


def arguments(folder, *more):
    pairs = [f'{k}={v}' for k, v in options(folder).items()]
    return [str(CONFIG), '--out', f'{folder}/p.npz', '--epochs', '1', '--gpus', '0', *more, '--cfg-options', *pairs]


def test_from_start_to_end(tool, tmp_path, capsys):
    make_scenes(tmp_path / 'scenes', 5, 1, SceneConfig.small())
    tool.main(arguments(tmp_path, '--max-per-level', '40'))
    printed = capsys.readouterr().out
    proposals = load_proposals(tmp_path / 'p.npz')
    assert proposals.levels == (2.0, 1.0, 0.5) and len(proposals.image_ids) == 5
    per_list = np.diff(proposals.offsets)
    assert 0 < per_list.max() <= 40
    # In range of their level, in original pixels. The range is derived from whole view sizes: hence the tolerance.
    factor = np.repeat(np.tile(proposals.levels, 5), per_list)
    boxes = proposals.boxes_xyxy.astype(float)
    scales = factor * np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(axis=1))
    assert scales.min() >= 6.4 * 0.999 and scales.max() <= 224 * 1.001
    # What it says about negative chips is what a training then has.
    cfg = Config.fromfile(CONFIG)
    cfg.merge_from_dict({k: eval(v) if k.endswith('factors') else v for k, v in options(tmp_path).items()})
    cfg.train_dataloader.dataset.negatives.proposals = str(tmp_path / 'p.npz')
    dataset = DATASETS.build(chip_dataset_cfg(cfg))
    dataset.full_init()
    plan = dataset.plan
    assert f'5 images; {plan.negative.sum()} negative chips, of which an epoch draws at most 2 per image' in printed
    for level, name in enumerate(('x2', 'x1', 'x0.5')):
        of_level = plan.level == level
        numbers = [(of_level & ~plan.negative).sum(), *plan.proposals[level], 3, (of_level & plan.negative).sum()]
        (row,) = [line for line in printed.splitlines() if line.startswith(f'| {name} ')]
        assert [int(v) for v in row.split('|')[2:-1]] == numbers
    # Finished work is not done again.
    trained, written = tmp_path / 'p' / 'train' / 'epoch_1.pth', tmp_path / 'p.npz'
    times = [p.stat().st_mtime_ns for p in (trained, written)]
    tool.main(arguments(tmp_path, '--max-per-level', '40'))
    assert 'is there already' in capsys.readouterr().out
    assert [p.stat().st_mtime_ns for p in (trained, written)] == times
    # The folder belongs to this network alone.
    with pytest.raises(SystemExit, match='p holds the training of another proposal network'):
        tool.main(arguments(tmp_path, '--max-per-level', '41'))


@pytest.fixture
def commands(monkeypatch):
    """The commands that would be run."""
    started = []

    def run_jobs(jobs, slots, console, cwd):
        started.extend(list(step.command) for job in jobs for step in job.steps)
        return []

    monkeypatch.setattr(proposal_mining, 'run_jobs', run_jobs)
    return started


def test_what_is_left_is_done(commands, tmp_path, monkeypatch):
    cfg, out, folder = Config.fromfile(CONFIG), tmp_path / 'p.npz', tmp_path / 'net'
    monkeypatch.setattr(proposal_mining, '_write_config', lambda config, folder: folder / 'proposal_net.py')

    def left(**kwargs):
        commands.clear()
        mine_proposals(cfg, out, folder, epochs=3, **kwargs)
        return commands[:]

    train, test = left()
    assert train[:3] == ['mim', 'train', 'mmdet'] and train[-2:] == ['--gpus', '0']
    assert test[:3] == ['mim', 'test', 'mmdet'] and '--tta' in test and test[-1] == f'test_evaluator.out_file={out}'
    # Interrupted: it goes on where it was.
    (folder / 'train').mkdir(parents=True)
    (folder / 'train' / 'last_checkpoint').write_text('epoch_1.pth')
    assert [c[-1] for c in left(gpus=2)] == ['--resume', test[-1]]
    assert commands[0][-5:] == ['--gpus', '2', '--launcher', 'pytorch', '--resume']
    (folder / 'train' / 'epoch_3.pth').write_text('')
    assert left() == [test]
    out.write_text('')
    assert left() == []
    os.utime(folder / 'train' / 'epoch_3.pth', (2**31, 2**31))
    assert left() == [test]


def test_bad_names(tmp_path):
    cfg = Config.fromfile(CONFIG)
    for name in ('p.json', 'p,q.npz'):
        with pytest.raises(ValueError, match=f'must end in .npz and have no comma in its path, got .*{name}'):
            mine_proposals(cfg, tmp_path / name, tmp_path / 'net')


def test_a_failed_command_ends_the_tool(tool, monkeypatch, tmp_path):
    monkeypatch.setattr(proposal_mining, 'run_jobs', lambda jobs, *_: [job.name for job in jobs])
    with pytest.raises(SystemExit, match='error: the proposal network failed'):
        tool.main([str(CONFIG), '--out', str(tmp_path / 'p.npz')])
    with pytest.raises(SystemExit, match='error: .*faster-rcnn_r18-small_fpn_1xb4_scenes.py trains on CocoDataset'):
        baseline = ROOT / 'configs' / 'baselines' / 'faster-rcnn_r18-small_fpn_1xb4_scenes.py'
        tool.main([str(baseline), '--out', str(tmp_path / 'p.npz')])
    with pytest.raises(SystemExit) as error:
        tool.main([str(CONFIG), '--out', 'p.npz', '--epochs', '0'])
    assert error.value.code == 2


def test_progress_from_logs():
    assert training_progress('', 2) == (0.0, 'starting') == proposal_mining.testing_progress('x')
    log = '11/20 - INFO - Epoch(train) [2][ 20/ 80]  lr: 1e-2  eta: 1 day, 0:01:34  time: 0.7  loss: 0.6\n'
    share, words = training_progress('Epoch(train) [1][ 40/ 80]  lr: 1e-2  eta: 0:09:00  time: 0\n' + log, 2)
    assert share == 0.625 and words.startswith('epoch 2 of 2')
    assert proposal_mining.testing_progress('Epoch(test) [ 50/200]    eta\nEpoch(test) [100/200]') == (
        0.5,
        'image 100 of 200',
    )
