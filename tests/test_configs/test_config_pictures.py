"""The configs on MNIST and CIFAR-10 against the paper's numbers."""

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config

from mmisn.models.classifiers import RescalingClassifier

CONFIGS = Path(__file__).parents[2] / 'configs' / 'scalenet'
FILES = sorted(p.name for kind in ('mnist', 'cifar10') for p in CONFIGS.glob(f'*_{kind}.py'))
TRAININGS = [f for f in FILES if '1xb64' in f]


def load(name):
    return Config.fromfile(CONFIGS / name)


def build(cfg):
    with torch.device('meta'):
        return MODELS.build(cfg.model)


@pytest.mark.parametrize('name', TRAININGS)
def test_trainings(name):
    cfg = load(name)
    stem, epochs, kind = (
        name.removesuffix('.py').rsplit('-', 1)[0],
        name.split('-')[-1].split('e_')[0],
        name.split('_')[-1],
    )
    assert stem and cfg.train_cfg.max_epochs == int(epochs)
    sgd = dict(type='SGD', lr=0.01, momentum=0.97 if kind == 'mnist.py' else 0.9)
    assert cfg.optim_wrapper.optimizer == (dict(type='Adam', lr=0.001) if stem.startswith('capsnet') else sgd)
    assert cfg.train_dataloader.batch_size == 64
    assert cfg.param_scheduler[0].T_max == cfg.param_scheduler[0].end == int(epochs)
    sizes, canvas, unit = ((14, 16, 18), 28, 16) if kind == 'mnist.py' else ((32, 38, 44), 64, 32)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert (loader.dataset.canvas, loader.dataset.unit_size) == (canvas, unit)
    assert tuple(cfg.train_dataloader.dataset.sizes) == sizes == tuple(cfg.val_dataloader.dataset.sizes)
    assert tuple(cfg.test_dataloader.dataset.sizes[:3]) == sizes == tuple(cfg.test_evaluator.val_sizes)
    assert 'detour' not in cfg.test_dataloader.dataset
    # Only with epoch and seed in the index is a detour another one in every epoch.
    seeded = cfg.train_dataloader.sampler.type == 'SeededSampler'
    assert seeded == ('detour' in cfg.train_dataloader.dataset) == (kind == 'mnist.py')
    model = build(cfg)
    assert model.canvas == canvas and model.in_channels == (1 if kind == 'mnist.py' else 3)


@pytest.mark.parametrize(
    ('name', 'lower', 'upper', 'top_k', 'depth', 'sizes'),
    [
        ('recursive-large_mnist.py', None, 1.05, 0.15, 30, (28, 56, 84)),
        ('recursive-small_mnist.py', 0.99, None, 0.5, 30, (8,)),
        ('recursive_cifar10.py', None, 1.338, 0.1, 30, (96,)),
    ],
)
def test_recursions(name, lower, upper, top_k, depth, sizes):
    cfg = load(name)
    model = build(cfg)
    assert isinstance(model, RescalingClassifier)
    assert (model.rule.lower, model.rule.upper, model.rule.top_k, model.max_rescales) == (lower, upper, top_k, depth)
    assert tuple(cfg.test_dataloader.dataset.sizes)[3 : 3 + len(sizes)] == sizes
    # The scale net is the one that its own config trains.
    trained = build(load(Path(cfg.model.scale_net.init_cfg.checkpoint).parent.name + '.py'))
    shapes = {key: value.shape for key, value in trained.state_dict().items()}
    assert {key: value.shape for key, value in model.scale_net.state_dict().items()} == shapes
    assert model.scale_net.canvas == model.classifier.canvas == trained.canvas
    # What PictureScale reports is the scale by the paper's k, which pictures larger than in training are rescaled by.
    assert lower is not None or trained.top_k == top_k
