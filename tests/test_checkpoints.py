"""mmengine's own checkpoints load under torch's safety check, and nothing else does."""

import pickle
import subprocess

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import Dataset

from mmisn._checkpoints import allow_mmengine_checkpoints

pytestmark = pytest.mark.skipif(
    not hasattr(torch.serialization, 'get_unsafe_globals_in_checkpoint'), reason='torch < 2.6 checks nothing by default'
)


class _Numbers(Dataset):
    metainfo = dict(classes=('a', 'b'), palette=[(1, 2, 3), (4, 5, 6)])

    def __len__(self):
        return 6

    def __getitem__(self, index):
        return torch.full((2,), float(index))


class _Line(BaseModel):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(2, 1)

    def forward(self, inputs, mode='loss'):
        return dict(loss=self.layer(inputs).pow(2).mean())


def _collate(items):
    return dict(inputs=torch.stack(items))


def _runner(work_dir, max_epochs, name, **kwargs):
    return Runner(
        model=_Line(),
        work_dir=str(work_dir),
        train_dataloader=dict(
            dataset=_Numbers(), batch_size=2, sampler=dict(type='DefaultSampler', shuffle=True), collate_fn=_collate
        ),
        train_cfg=dict(by_epoch=True, max_epochs=max_epochs),
        optim_wrapper=dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9)),
        param_scheduler=[
            dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=3),
            dict(type='MultiStepLR', milestones=[1]),
        ],
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=1)
        ),
        log_level='WARNING',
        default_scope='mmengine',
        experiment_name=name,
        **kwargs,
    )


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Work folder and runner of two epochs of three iterations."""
    work_dir = tmp_path_factory.mktemp('trained')
    runner = _runner(work_dir, 2, f'trained_{work_dir.name}')
    runner.message_hub.update_info('best', np.float64(0.25))
    runner.message_hub.update_scalar('train/seen', np.int64(3))
    runner.train()
    return work_dir, runner


def test_a_runners_checkpoint_loads(trained):
    work_dir, runner = trained
    checkpoint = torch.load(work_dir / 'epoch_2.pth')
    assert checkpoint['meta']['epoch'] == 2
    assert checkpoint['meta']['dataset_meta'] == _Numbers.metainfo
    assert torch.equal(checkpoint['state_dict']['layer.weight'], runner.model.layer.weight)
    assert set(checkpoint) == {'meta', 'state_dict', 'message_hub', 'optimizer', 'param_schedulers'}
    assert checkpoint['message_hub']['runtime_info']['best'] == 0.25
    losses = checkpoint['message_hub']['log_scalars']['train/loss']
    saved = runner.message_hub.get_scalar('train/loss').data
    np.testing.assert_array_equal(losses.data, saved)
    assert losses.statistics('mean') == saved[0].mean()


def test_a_run_resumes(trained):
    work_dir, first = trained
    runner = _runner(work_dir, 3, f'resumed_{work_dir.name}', resume=True)
    runner.train()
    assert (runner.epoch, runner.iter) == (3, 9)
    # Six losses of the first run and three of this one.
    losses = runner.message_hub.get_scalar('train/loss').data[0]
    assert len(losses) == 9
    np.testing.assert_array_equal(losses[:6], first.message_hub.get_scalar('train/loss').data[0])


def test_without_the_allowance_it_fails(trained):
    allowed = torch.serialization.get_safe_globals()
    try:
        torch.serialization.clear_safe_globals()
        with pytest.raises(pickle.UnpicklingError, match='HistoryBuffer'):
            torch.load(trained[0] / 'epoch_2.pth')
        allow_mmengine_checkpoints()
        assert torch.load(trained[0] / 'epoch_2.pth')['meta']['iter'] == 6
    finally:
        torch.serialization.add_safe_globals(allowed)


@pytest.mark.parametrize('dtype', ['bool', 'uint8', 'int64', 'float16', 'float32', 'float64'])
def test_numbers_of_numpy(dtype, tmp_path):
    array = np.array([0, 1, 1]).astype(dtype)
    torch.save(dict(array=array, scalar=array[1]), tmp_path / 'numbers.pth')
    loaded = torch.load(tmp_path / 'numbers.pth')
    np.testing.assert_array_equal(loaded['array'], array, strict=True)
    assert type(loaded['scalar']) is type(array[1])


def test_files_written_under_numpy_1(tmp_path):
    torch.save(dict(value=np.float64(0.5)), tmp_path / 'new.pth', _use_new_zipfile_serialization=False)
    content = (tmp_path / 'new.pth').read_bytes()
    old = content.replace(b'numpy._core.multiarray', b'numpy.core.multiarray')
    (tmp_path / 'old.pth').write_bytes(old)
    assert b'numpy.core.multiarray' in old
    assert torch.load(tmp_path / 'old.pth')['value'] == 0.5


class _Code:
    """An object whose pickle calls ``function(*arguments)``."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def _codes(marker):
    return {
        'subprocess': _Code(subprocess.call, ['touch', str(marker)]),
        'eval': _Code(eval, f'open({str(marker)!r}, "w").close()'),
        'open': _Code(open, str(marker), 'w'),
        'other attribute of the buffer': _Code(getattr, HistoryBuffer, '__init__'),
        'attribute of another type': _Code(getattr, np.ndarray, 'mean'),
    }


@pytest.mark.parametrize('name', list(_codes('')))
def test_code_in_a_checkpoint_is_refused_and_not_run(name, tmp_path):
    marker = tmp_path / 'was_run'
    path = tmp_path / 'evil.pth'
    torch.save(dict(state_dict=dict(weight=torch.zeros(1)), evil=_codes(marker)[name]), path)
    with pytest.raises(pickle.UnpicklingError):
        torch.load(path)
    assert not marker.exists()


def test_the_refused_code_would_have_run(tmp_path):
    """The tests above would notice: without the check, the same file does run."""
    marker = tmp_path / 'was_run'
    torch.save(_codes(marker)['subprocess'], tmp_path / 'evil.pth')
    torch.load(tmp_path / 'evil.pth', weights_only=False)
    assert marker.exists()


def test_code_within_a_history_buffer_is_refused(tmp_path):
    marker = tmp_path / 'was_run'
    buffer = HistoryBuffer([1.0], [1])
    buffer.evil = _codes(marker)['subprocess']
    torch.save(buffer, tmp_path / 'evil.pth')
    with pytest.raises(pickle.UnpicklingError, match='Unsupported global'):
        torch.load(tmp_path / 'evil.pth')
    assert not marker.exists()
