"""``tools/draw_recursion.py`` and the configs behind it, from made-up digits to a strip."""

import importlib.util
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from mmisn.models.classifiers import TwoConvClassifier
from mmisn.models.scale_nets import SimpleScaleNet

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / 'configs' / 'scalenet'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Random digits in idx files, and checkpoints of random nets."""
    folder = tmp_path_factory.mktemp('mnist')
    rng = np.random.default_rng(0)
    for stem, number in (('train', 8), ('t10k', 4)):
        images = rng.integers(0, 256, (number, 28, 28), dtype=np.uint8)
        labels = rng.integers(0, 10, number, dtype=np.uint8)
        for kind, array in (('images-idx3', images), ('labels-idx1', labels)):
            header = struct.pack('>BBBB', 0, 0, 8, array.ndim) + struct.pack(f'>{array.ndim}I', *array.shape)
            (folder / f'{stem}-{kind}-ubyte').write_bytes(header + array.tobytes())
    torch.manual_seed(0)
    for name, net in (('classifier', TwoConvClassifier(hidden=256)), ('scale_net', SimpleScaleNet())):
        torch.save(dict(state_dict=net.state_dict()), folder / f'{name}.pth')
    return folder


@pytest.fixture
def draw(folder, capsys):
    spec = importlib.util.spec_from_file_location('draw_recursion_tool', ROOT / 'tools' / 'draw_recursion.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def draw(*args, config='recursive-large_mnist.py', checkpoint='classifier.pth'):
        common = ['--scale-net', str(folder / 'scale_net.pth'), '--data', str(folder)]
        status = module.main([str(CONFIGS / config), str(folder / checkpoint), *common, *map(str, args)])
        return status, capsys.readouterr().err

    return draw


def test_strip(draw, tmp_path):
    assert draw('--size', 40, '--index', 3, '--out', tmp_path / 'a' / 'strip.png') == (0, '')
    picture = cv2.imread(str(tmp_path / 'a' / 'strip.png'))
    assert picture is not None and picture.std() > 10


def test_what_cannot_be_drawn(draw, tmp_path):
    status, said = draw('--index', 4)
    assert status == 2 and '--index must be from 0 to 3, got 4' in said
    status, said = draw('--data', tmp_path / 'none')
    assert status == 2 and 'no such folder' in said
    status, said = draw(checkpoint='scale_net.pth')
    assert status == 2 and 'lacks' in said
    status, said = draw(config='two-conv-classifier_1xb64-4e_mnist.py')
    assert status == 2 and 'must be a RescalingClassifier, got TwoConvClassifier' in said


@pytest.mark.parametrize(
    ('name', 'metrics'),
    [
        ('two-conv-classifier_1xb64-4e_mnist.py', {'accuracy/val', 'accuracy/28'}),
        ('simple-scale-net_1xb64-1e_mnist.py', {'scale/mean_val', 'scale/std_28', 'scale/rmse_28'}),
    ],
)
def test_trainings_and_tests_of_the_configs_run(folder, tmp_path, name, metrics):
    cfg = runnable(name, folder, tmp_path)
    runner = Runner.from_cfg(cfg)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    assert any((before[k] != v).any() for k, v in runner.model.state_dict().items())
    assert metrics <= set(runner.test())


def test_the_recursion_is_tested_with_both_checkpoints(folder, tmp_path):
    cfg = runnable('recursive-large_mnist.py', folder, tmp_path)
    cfg.load_from = str(folder / 'classifier.pth')
    cfg.model.scale_net.init_cfg.checkpoint = str(folder / 'scale_net.pth')
    found = Runner.from_cfg(cfg).test()
    assert {'accuracy/val', 'accuracy/28', 'accuracy/rescales_28', 'accuracy/open_28'} <= set(found)
    assert found['accuracy/scale_net_pixels'] >= 14 * 14


def runnable(name, folder, tmp_path):
    """A config on the made-up digits, one iteration long."""
    init_default_scope('mmdet')
    cfg = Config.fromfile(CONFIGS / name)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.dataset.data_root = str(folder)
    cfg.test_dataloader.dataset.sizes = (14, 16, 18, 28)
    cfg.train_cfg.max_epochs = cfg.param_scheduler[0].T_max = cfg.param_scheduler[0].end = 1
    cfg.work_dir, cfg.experiment_name = str(tmp_path), f'{Path(name).stem}_{tmp_path.name}'
    return cfg
