"""Runs through ``mim``, as users start them, on a dozen small scenes."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from mmisn.datasets.scenes import SceneConfig, make_scenes

CONFIGS = Path(__file__).parents[2] / 'configs'
ISN = CONFIGS / 'isn' / 'isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
CHIP_DETECTOR = CONFIGS / 'isn' / 'isn-faster-rcnn_r18-small_fpn_1xb8_scenes_chip-detector.py'

RECORDER = """
import json
import os
import signal

from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmdet.registry import HOOKS


@HOOKS.register_module()
class RecordChips(Hook):
    '''Write the chips and the learning rate of each training batch; end the process with SIGKILL where told.'''

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if os.environ.get('KILL_AT') == f'{runner.epoch},{batch_idx}':
            os.kill(os.getpid(), signal.SIGKILL)
        chips = [(s.img_id, *s.chip.xyxy, *s.chip.size_wh, s.chip.flip) for s in data_batch['data_samples']]
        pixels = [int(image.long().sum()) for image in data_batch['inputs']]
        lr = runner.optim_wrapper.get_lr()['lr'][0]
        record = dict(epoch=runner.epoch, batch=batch_idx, chips=chips, pixels=pixels, lr=lr)
        with open(os.path.join(runner.work_dir, f'chips_{get_rank()}.jsonl'), 'a') as file:
            file.write(json.dumps(record) + chr(10))
"""

# What a user would write to train and test on data of one's own.
CHILD = """
_base_ = {base!r}
data_root = {root!r}
ann_file = data_root + 'annotations/instances_val.json'
custom_imports = dict(imports=['mmisn', 'record_chips'])
custom_hooks = [dict(type='NormEvalHook', begin=1), dict(type='SyncBuffersHook'), dict(type='RecordChips')]
train_cfg = dict(max_epochs=2)
train_dataloader = dict(
    num_workers=0,
    persistent_workers=False,
    dataset=dict(cache_dir=data_root + 'plans', dataset=dict(data_root=data_root)),
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=ann_file)
test_evaluator = val_evaluator
"""


class Project:
    """A folder with scenes and configs, in which ``mim`` is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scenes = folder / 'scenes'
        self.ann_file = self.scenes / 'annotations' / 'instances_val.json'
        make_scenes(self.scenes, 12, 6, SceneConfig.small())
        (folder / 'record_chips.py').write_text(RECORDER)
        self.isn = self._write('isn.py', ISN)
        self.chip_detector = self._write('chip_detector.py', CHIP_DETECTOR)

    def _write(self, name: str, base: Path) -> Path:
        path = self.folder / name
        path.write_text(CHILD.format(base=str(base), root=f'{self.scenes}/'))
        return path

    def mim(self, *args, **env: str) -> subprocess.CompletedProcess:
        """Run ``mim`` with these arguments, in the environment that the tests run in."""
        # mim starts `python`, whichever comes first.
        path = f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}'
        mim = shutil.which('mim', path=path)
        assert mim, 'mim (openmim) is not installed'
        env = {**os.environ, 'PATH': path, 'PYTHONPATH': str(self.folder), 'OMP_NUM_THREADS': '1', **env}
        return subprocess.run(
            [sys.executable, mim, *map(str, args)], cwd=self.folder, env=env, capture_output=True, text=True
        )

    def run(self, *args, **env: str) -> str:
        """Run ``mim``; return what it printed. It must succeed."""
        done = self.mim(*args, **env)
        assert done.returncode == 0, f'{done.stdout[-3000:]}\n{done.stderr[-6000:]}'
        return done.stdout + done.stderr


@pytest.fixture(scope='session')
def project(tmp_path_factory):
    return Project(tmp_path_factory.mktemp('project'))


@pytest.fixture(scope='session')
def trained(project):
    """Work folder of an uninterrupted training of two epochs in one process."""
    work_dir = project.folder / 'trained'
    project.run('train', 'mmdet', project.isn, '--work-dir', work_dir, '--auto-scale-lr')
    return work_dir


@pytest.fixture
def two_processes():
    """Arguments of ``mim`` that start two processes, at a port that is free."""
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        port = listener.getsockname()[1]
    return '--launcher', 'pytorch', '--gpus', 2, '--port', port
