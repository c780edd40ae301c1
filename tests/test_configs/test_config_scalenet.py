"""The configs of ScaleNet itself say what their file names and the paper say ("Scale Net Implementation Details")."""

import math
import re
from pathlib import Path

import pytest
import torch
from config_files import CONFIGS, build, load
from mmdet.models.backbones import MobileNetV2, ResNet
from mmdet.registry import METRICS, PARAM_SCHEDULERS, VISUALIZERS
from mmengine.dataset import Compose
from mmengine.optim import build_optim_wrapper

from mmisn.models.backbones import PlainVGG

FILES = sorted(p.relative_to(CONFIGS).as_posix() for p in (CONFIGS / 'scalenet').glob('scalenet_*.py'))
NAME = re.compile(
    r'scalenet_(?P<backbone>vgg16|mobilenetv2(-small)?|r18-small)_(?P<head>areas6|areas3|octaves|regression)_'
    r'1xb(?P<batch>\d+)(-(?P<epochs>\d+)e)?_(?P<data>coco|scenes|coco-mini)'
)
FACTORS = {'coco': 1, 'scenes': 0.4, 'coco-mini': 0.5}


def tokens(file):
    match = NAME.fullmatch(Path(file).stem)
    assert match, f'{file} does not follow the naming scheme'
    return match.groupdict()


def steps(loader):
    return {step.type: step for step in loader.dataset.pipeline}


def test_the_versions_that_there_are():
    found = {(n['backbone'], n['head'], n['data']) for n in map(tokens, FILES)}
    heads = ('areas6', 'areas3', 'octaves', 'regression')
    expected = {(b, h, 'coco') for b in ('vgg16', 'mobilenetv2') for h in heads}
    expected |= {('mobilenetv2-small', h, 'scenes') for h in heads}
    expected |= {('r18-small', h, 'scenes') for h in ('areas6', 'octaves')}
    assert found == expected | {('mobilenetv2', h, 'coco-mini') for h in ('areas6', 'octaves')}


@pytest.mark.parametrize('file', FILES)
def test_head(file):
    name, net = tokens(file), build(file)
    factor = FACTORS[name['data']]
    if name['head'] == 'regression':
        assert net.head.unit == pytest.approx(96 * factor) and net.measure == 'mask_area'
        assert type(net.head.loss_module).__name__ == 'MSELoss'
        return
    expected = {
        'areas6': [math.sqrt(2592 * n) for n in (1, 8, 20, 28)],
        'areas3': [32, 96],
        'octaves': [8, 16, 32, 64, 128, 256, 512],
    }[name['head']]
    assert net.class_bounds == pytest.approx((0, *(factor * b for b in expected), math.inf))
    assert net.measure == ('sqrt_box' if name['head'] == 'octaves' else 'mask_area')
    assert net.head.conv.out_channels == len(net.class_bounds)
    assert type(net.head.loss_module).__name__ == 'SoftmaxFocalLoss' and net.head.loss_module.gamma == 2


@pytest.mark.parametrize('file', [f for f in FILES if tokens(f)['head'] != 'regression'])
def test_class_weights(file):
    """None for the paper's classes on COCO; double the weight for each smaller octave."""
    name, loss = tokens(file), build(file).head.loss_module
    if name['head'] == 'octaves':
        assert loss.class_weight == (1, 128, 64, 32, 16, 8, 4, 2, 2)
    elif name['data'] == 'coco':
        assert loss.class_weight is None
    else:
        # The small class counts most, as it has the fewest pixels.
        assert loss.class_weight[0] == 1 and max(loss.class_weight) == loss.class_weight[1]
        assert len(loss.class_weight) == len(build(file).class_bounds)


@pytest.mark.parametrize('file', FILES)
def test_network(file):
    name, cfg, net = tokens(file), load(file), build(file)
    kind = {'vgg16': PlainVGG, 'r18-small': ResNet}.get(name['backbone'], MobileNetV2)
    assert type(net.backbone) is kind
    assert cfg.starts_from_weights == ('small' not in name['backbone'])
    batch = torch.empty(2, 3, 96, 160, device='meta')
    stride = 1 if name['backbone'] == 'vgg16' else 2
    assert net.extract_feat(batch).shape[-2:] == (96 // stride, 160 // stride)
    assert net(batch).shape == (2, net.head.conv.out_channels, 96, 160)
    wrapper = build_optim_wrapper(net, cfg.optim_wrapper)
    assert type(wrapper.optimizer).__name__ == 'Adam'


@pytest.mark.parametrize('file', FILES)
def test_images_are_trained_on_and_tested_as_they_are_seen(file):
    name, cfg, net = tokens(file), load(file), build(file)
    train, test = steps(cfg.train_dataloader), steps(cfg.val_dataloader)
    assert 'RandomFlip' in train and list(test) == [step for step in train if step != 'RandomFlip']
    assert list(test)[:2] == ['LoadImageFromFile', 'LoadMasksOrBoxes'] and list(test)[-1] == 'PackInstanceInputs'
    side = {'coco': 512, 'scenes': 205, 'coco-mini': 256}[name['data']]
    if name['head'] == 'octaves':
        side = {'coco': 640, 'scenes': None, 'coco-mini': 320}[name['data']]
    assert net.view_size == (side and (side, side)) and net.keep_ratio == (name['head'] == 'octaves' and bool(side))
    for pipeline in (train, test):
        assert ('Resize' in pipeline) == bool(side)
        if side:
            assert tuple(pipeline['Resize'].scale) == net.view_size
            assert pipeline['Resize'].keep_ratio == net.keep_ratio
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        Compose(loader.dataset.pipeline)
    assert cfg.test_dataloader == cfg.val_dataloader


@pytest.mark.parametrize('file', FILES)
def test_metric_and_pictures(file):
    name, cfg, net = tokens(file), load(file), build(file)
    assert cfg.val_evaluator == cfg.test_evaluator
    rule = METRICS.build(cfg.val_evaluator).rule
    if name['head'] == 'regression':
        assert rule.lower * 96 == pytest.approx(32)
    else:
        # All classes below some bound are small: below COCO's 32 px, of the paper's six classes the first.
        assert rule.small == tuple(range(1, len(rule.small) + 1)) and rule.threshold is None
        bound = net.class_bounds[len(rule.small)] / FACTORS[name['data']]
        assert bound == pytest.approx(math.sqrt(2592) if name['head'] == 'areas6' else 32)
    assert VISUALIZERS.get(cfg.visualizer.type).__name__ == 'ScaleMapVisualizer'


@pytest.mark.parametrize('file', FILES)
def test_schedule_and_data(file):
    name, cfg = tokens(file), load(file)
    assert cfg.train_dataloader.batch_size == int(name['batch'])
    assert cfg.auto_scale_lr == dict(enable=False, base_batch_size=int(name['batch']))
    if name['data'] == 'coco':
        # The paper's batch and rate.
        assert name['batch'] == '16'
        assert cfg.optim_wrapper.optimizer == dict(type='Adam', lr=1e-4)
        assert cfg.train_cfg.max_epochs == int(name['epochs']) == 12
    for scheduler in cfg.param_scheduler:
        assert PARAM_SCHEDULERS.get(scheduler.type) and scheduler.end <= cfg.train_cfg.max_epochs
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
    # Images without objects are all background, not left out.
    assert cfg.train_dataloader.dataset.filter_cfg == dict(filter_empty_gt=False)
    folder = {'coco': 'data/coco/', 'scenes': 'data/scenes/', 'coco-mini': 'coco_mini/'}[name['data']]
    for part, loader in (('train', cfg.train_dataloader), ('val', cfg.val_dataloader)):
        assert loader.dataset.data_root.endswith(folder) and f'instances_{part}' in loader.dataset.ann_file
