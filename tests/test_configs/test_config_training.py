"""Chips, sizes, learning rate and schedule of every config are those of the paper (ISN section 4.1)."""

import copy
import re

import pytest
import torch
from config_files import FACTORS, FILES, build, load, of, tokens
from mmcv import rescale_size
from mmdet.registry import PARAM_SCHEDULERS, TASK_UTILS
from mmengine.optim import build_optim_wrapper

from mmisn.structures import ScaleRange


@of(rule='isn')
def test_chips(file):
    cfg, small = load(file), tokens(file)['data'] == 'scenes'
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'ChipDataset'
    generator = TASK_UTILS.build(dataset.generator)
    assert generator.levels == FACTORS
    assert generator.chip_size == (232 if small else 576)
    assert set(generator.scale_ranges) == {ScaleRange.build((6.4, 224) if small else (16, 560))}
    # The stride of the candidates, a tenth of the chip.
    assert generator.stride == ((22, 24) if small else (56, 60))
    assert cfg.train_dataloader.sampler.type == 'ChipSampler'
    assert cfg.train_dataloader.batch_sampler == dict(type='ChipBatchSampler')
    steps = [step.type for step in dataset.pipeline]
    keypoints = ['LoadKeypoints'] if tokens(file)['person'] else []
    assert steps == [
        *('LoadImageFromFile', 'LoadAnnotations', *keypoints, 'FilterByScale', 'CropChip', 'PackInstanceInputs')
    ]
    assert dataset.pipeline[1].get('with_mask', False) == (tokens(file)['method'] == 'mask-rcnn')
    # Planned and trained with the same range: the filter has none of its own.
    assert dataset.pipeline[-3] == dict(type='FilterByScale')


def test_small_scenes_are_the_paper_times_0_4():
    small, large = (
        load(f'isn/{f}')
        for f in ('isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py', 'isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py')
    )
    assert small.scale_range == tuple(0.4 * bound for bound in large.scale_range)
    assert small.factors == large.factors == FACTORS


@of(rule=('isn', 'snip', 'sniper'), method='faster-rcnn')
def test_isn_parts_of_faster_rcnn(file):
    cfg = load(file).model
    cfg = cfg.get('detector', cfg)
    assert cfg.rpn_head.type == 'ScaleRangeRPNHead'
    assert cfg.train_cfg.rpn.assigner.type == cfg.train_cfg.rcnn.assigner.type == 'ScaleRangeAssigner'


def test_isn_parts_of_retinanet():
    model = build('isn/isn-retinanet_r50_fpn_8xb4-18e_coco.py')
    assert type(model.bbox_head).__name__ == 'ScaleRangeRetinaHead'
    assert type(model.bbox_head.assigner).__name__ == 'ScaleRangeAssigner'
    assert type(model.bbox_head.sampler).__name__ == 'PseudoSampler'
    assert type(model.bbox_head.loss_cls).__name__ == 'FocalLoss'


@of(rule=False)
def test_baselines_have_no_part_of_isn(file):
    text = str(load(file).to_dict())
    assert not re.findall(r'ScaleRange(?!CocoMetric|TTAModel)\w+|Chip\w+|FilterByScale', text)


@of(rule=False)
def test_training_sizes(file):
    name = tokens(file)
    steps = load(file).train_dataloader.dataset.pipeline
    (resize,) = (step for step in steps if 'Resize' in step.type)
    small = name['data'] == 'scenes'
    if name['ms'] is None:
        assert resize == dict(type='Resize', scale=(533, 320) if small else (1333, 800), keep_ratio=True)
    else:
        # Steps of 32 px, limits of the long side in proportion to the largest short side.
        shorts, long_side = {
            '': ((608, 640, 672, 704, 736, 768, 800), 1333),
            '640-800': ((640, 672, 704, 736, 768, 800), 1333),
            '160-1600': (range(160, 1601, 32), 2667),
        }[name['ms']]
        scales = [(round(0.4 * long_side), round(0.4 * s)) if small else (long_side, s) for s in shorts]
        assert resize.type == 'RandomChoiceResize' and [tuple(s) for s in resize.scales] == scales
        assert resize.keep_ratio
    (flip,) = (step for step in steps if step.type == 'RandomFlip')
    assert flip.prob == 0.5


@of(data='scenes', chip_detector=False)
def test_epochs_of_the_scenes_have_equal_pixels(file):
    """8 epochs at 427x320, as many pixels (to half an epoch) in sizes or pictures of another number."""
    cfg = load(file)
    single = 427 * 320
    step = next((s for s in cfg.train_dataloader.dataset.pipeline if s.type in ('Resize', 'RandomChoiceResize')), None)
    if cfg.train_dataloader.sampler.type == 'ChipSampler':
        mean = cfg.train_dataloader.sampler.pixels_per_image
    else:
        scales = step.get('scales', [step.get('scale')])
        sizes = [rescale_size((256, 192), tuple(scale)) for scale in scales]
        mean = sum(w * h for w, h in sizes) / len(sizes)
    assert cfg.train_cfg.max_epochs == round(8 * single / mean)


@of(data='coco')
def test_learning_rate(file):
    cfg = load(file)
    lr = 0.00125 * cfg.auto_scale_lr.base_batch_size
    assert cfg.optim_wrapper.optimizer.lr == (lr / 2 if tokens(file)['method'] == 'retinanet' else lr)
    assert (cfg.optim_wrapper.optimizer.momentum, cfg.optim_wrapper.optimizer.weight_decay) == (0.9, 1e-4)


def rates(cfg, iters=10):
    """The learning rate of each iteration of each epoch, relative to the config's."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    schedulers = []
    for scheduler in copy.deepcopy(cfg.param_scheduler):
        scheduler = dict(scheduler)
        convert = scheduler.pop('convert_to_iter_based', False)
        cls = PARAM_SCHEDULERS.get(scheduler.pop('type'))
        made = (
            cls.build_iter_from_epoch(optimizer, epoch_length=iters, **scheduler)
            if convert
            else cls(optimizer, **scheduler)
        )
        schedulers.append(made)
    found = []
    for _ in range(cfg.train_cfg.max_epochs):
        found.append([])
        for _ in range(iters):
            found[-1].append(optimizer.param_groups[0]['lr'])
            optimizer.step()
            [s.step() for s in schedulers if not s.by_epoch]
        [s.step() for s in schedulers if s.by_epoch]
    return found


@pytest.mark.parametrize('file', FILES)
def test_schedule(file):
    cfg = load(file)
    found = rates(cfg)
    last = cfg.train_cfg.max_epochs
    # Warm-up over epoch 1, from a thousandth.
    assert found[0][0] == pytest.approx(1e-3) and found[0][-1] == pytest.approx(1)
    assert all(a < b for a, b in zip(found[0], found[0][1:]))
    if tokens(file)['data'] == 'coco':
        # A tenth from the 15th epoch, a hundredth in the 18th.
        expected = [1.0] * 13 + [0.1] * 3 + [0.01]
    else:
        expected = [1.0] * (round(0.8 * last) - 1) + [0.1] * (last - round(0.8 * last))
    assert len(found) == last == len(expected) + 1
    for rate, epoch in zip(expected, found[1:]):
        assert epoch == pytest.approx([rate] * 10)


@pytest.mark.parametrize('file', FILES)
def test_optimizer_builds(file):
    wrapper = build_optim_wrapper(build(file), load(file).optim_wrapper)
    trained = sum(p.requires_grad for p in build(file).parameters())
    # One group with all weights; frozen ones are skipped in the step.
    assert len(wrapper.param_groups) == 1 and len(wrapper.param_groups[0]['params']) >= trained > 0
    assert wrapper.clip_grad_kwargs['max_norm'] > 0


@of(person=True, rule=False)
def test_keypoints_of_the_baselines_follow_the_image(file):
    cfg = load(file)
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert steps == [
        *('LoadImageFromFile', 'LoadAnnotations', 'LoadKeypoints', 'RandomChoiceResize', 'RandomFlip', 'MapKeypoints'),
        'PackInstanceInputs',
    ]


@of(person=True)
def test_keypoint_data(file):
    """COCO's keypoints are numbers of pixels, whose centres lie at 0.5; the scenes' count as boxes do."""
    cfg = load(file)
    train = cfg.train_dataloader.dataset
    offsets = {d.get('keypoint_offset', 0) for d in (train.get('dataset', train), cfg.val_dataloader.dataset)}
    assert offsets == ({0} if tokens(file)['data'] == 'scenes' else {0.5})
    assert cfg.test_dataloader == cfg.val_dataloader
    assert cfg.val_evaluator.ann_file == cfg.val_dataloader.dataset.data_root + cfg.val_dataloader.dataset.ann_file
    assert cfg.visualizer.type == 'KeypointVisualizer'
