"""Pixels of trainings and tests, and the budgets made of them."""

import copy

import numpy as np
import pytest
import torch
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import TRANSFORMS
from mmdet.structures import DetDataSample
from mmengine.config import Config

from mmisn.datasets import SceneConfig, make_scenes
from mmisn.experiments.budget import BUDGETS, Budget, budget_options, check_budget, epochs_for, schedule_options
from mmisn.experiments.options import apply_options, load_config
from mmisn.experiments.pixels import (
    Pixels,
    padded_pixels,
    pixels_of_test,
    pixels_per_image,
    size_of_pipeline,
    training_cost,
    views_of_pipeline,
)
from mmisn.experiments.tables import ROOT

SINGLE = str(ROOT / 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py')
MULTI = str(ROOT / 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4-ms_scenes.py')
ISN = str(ROOT / 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py')
SNIP = str(ROOT / 'configs/baselines/snip-faster-rcnn_r18-small_dc5_1xb4_scenes.py')
SSD = str(ROOT / 'configs/baselines/ssdlite_mobilenetv2-small_1xb8_scenes.py')


@pytest.mark.parametrize(
    ('batch_wh', 'divisor', 'expected'),
    [
        ([(64, 32)], 32, 64 * 32),  # nothing to pad
        ([(65, 32)], 32, 96 * 32),  # one pixel more costs a whole step
        ([(100, 50), (64, 96)], 32, 2 * 128 * 96),  # the larger of each axis
        ([(100, 50), (64, 96), (1, 1)], 1, 3 * 100 * 96),
    ],
)
def test_padded_pixels(batch_wh, divisor, expected):
    assert padded_pixels(batch_wh, divisor) == expected


def test_padded_pixels_are_those_of_the_data_preprocessor():
    rng = np.random.default_rng(0)
    for _ in range(10):
        sizes = [tuple(int(s) for s in rng.integers(1, 90, 2)) for _ in range(int(rng.integers(1, 5)))]
        divisor = int(rng.choice([1, 7, 32]))
        data = dict(
            inputs=[torch.zeros(3, h, w, dtype=torch.uint8) for w, h in sizes],
            data_samples=[DetDataSample(metainfo=dict(img_shape=(h, w))) for w, h in sizes],
        )
        batch = DetDataPreprocessor(pad_size_divisor=divisor)(data, training=True)['inputs']
        assert padded_pixels(sizes, divisor) == batch.shape[0] * batch.shape[2] * batch.shape[3]


def test_pixels_per_image_of_three_toy_images():
    padded, plain = pixels_per_image([[(40, 30), (33, 64)], [(32, 32)]], 3, 32)
    assert padded == (2 * 64 * 64 + 32 * 32) / 3
    assert plain == (40 * 30 + 33 * 64 + 32 * 32) / 3


# Pipelines.


def decoded_size(transforms, image_wh, rng_seed):
    """What mmdet's own transforms make of a picture of that size."""
    np.random.seed(rng_seed)
    results = dict(img=np.zeros((image_wh[1], image_wh[0], 3), np.uint8), img_shape=image_wh[::-1])
    for transform in transforms:
        results = TRANSFORMS.build(transform)(results)
    height, width = results['img'].shape[:2]
    return width, height


@pytest.mark.parametrize(
    'resize',
    [
        dict(type='Resize', scale=(533, 320), keep_ratio=True),
        dict(type='Resize', scale=(100, 90)),
        dict(type='Resize', scale=None, scale_factor=1.0, keep_ratio=True),
        dict(type='Resize', scale_factor=0.37, keep_ratio=True),
        dict(type='Resize', scale_factor=(0.5, 0.3)),
        dict(type='RandomChoiceResize', scales=[(533, 243)], keep_ratio=True),
    ],
)
@pytest.mark.parametrize('image_wh', [(256, 192), (171, 333), (640, 427)])
def test_sizes_are_those_of_the_transforms(resize, image_wh):
    size = size_of_pipeline([resize, dict(type='RandomFlip', prob=0.5)], 'here')
    assert size(image_wh, np.random.default_rng(0)) == decoded_size([resize], image_wh, 0)


def test_a_random_size_must_be_settled():
    expand = [dict(type='Expand'), dict(type='MinIoURandomCrop')]
    rng = np.random.default_rng(0)
    assert size_of_pipeline([*expand, dict(type='Resize', scale=(320, 320))], 'here')((9, 7), rng) == (320, 320)
    for settled in ([], [dict(type='Resize', scale=(320, 320), keep_ratio=True)]):
        with pytest.raises(ValueError, match='here: the pipeline ends at a random size'):
            size_of_pipeline([*expand, *settled], 'here')((9, 7), rng)
    with pytest.raises(ValueError, match='here: what Mosaic makes of the size'):
        size_of_pipeline([dict(type='Mosaic')], 'here')


def test_views_are_the_products_of_the_alternatives():
    a, b, c, load = (dict(type=name) for name in ('A', 'B', 'C', 'Load'))
    pipeline = [load, dict(type='TestTimeAug', transforms=[[a, b], [c]])]
    assert views_of_pipeline(pipeline) == [[load, a, c], [load, b, c]]
    assert views_of_pipeline([load, a]) == [[load, a]]


# Scenes: every picture has 256x192 px.


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('data') / 'scenes'
    make_scenes(folder, 8, 2, SceneConfig.small())
    return folder


def config_on(scenes, path):
    cfg = load_config(path)
    node = cfg.train_dataloader.dataset
    while 'dataset' in node:
        node = node.dataset
    node.data_root = f'{scenes}/'
    if cfg.train_dataloader.dataset.type == 'ChipDataset':
        cfg.train_dataloader.dataset.cache_dir = ''
    return cfg


def test_single_scale_training(scenes):
    cost = training_cost(config_on(scenes, SINGLE))
    # Every picture is the same size: nothing to pad.
    assert cost == (Pixels(427 * 320, 427 * 320), 8)


def test_multi_scale_training(scenes):
    pixels = training_cost(config_on(scenes, MULTI)).pixels
    sizes = [(int(short * 256 / 192 + 0.5), short) for short in (243, 256, 269, 282, 294, 307, 320)]
    areas = [w * h for w, h in sizes]
    assert min(areas) < pixels.plain < max(areas)
    # 40 draws: the mean is off by less than three standard errors.
    assert pixels.plain == pytest.approx(np.mean(areas), abs=3 * np.std(areas) / np.sqrt(40))
    # Batches of four are padded to the largest of each.
    assert pixels.plain < pixels.padded < max(areas)


def test_snip_follows_the_budget_in_batches_of_one_size(scenes):
    cfg = config_on(scenes, SNIP)
    cfg.train_dataloader.batch_size = 1  # else the last batch of so few pictures is filled up
    cost = training_cost(cfg)
    # Eight pictures an epoch have some of up to 747x560 px: rounding to whole pictures takes at most half of one.
    assert cost.pixels.plain == pytest.approx(427 * 320, abs=747 * 560 / 2 / 8 + 747 * 560 / 8)
    assert cost.pixels.padded == cost.pixels.plain


def test_repeated_images(scenes):
    cfg = config_on(scenes, SSD)
    dataset = cfg.train_dataloader.dataset
    (size,) = [step.scale for step in dataset.dataset.pipeline if step.type == 'Resize']
    cfg.train_dataloader.batch_size = 2
    pixels = dataset.times * size[0] * size[1]
    before = copy.deepcopy(cfg.to_dict())
    assert training_cost(cfg) == (Pixels(pixels, pixels), 8)
    assert cfg.to_dict() == before


def test_chips_follow_the_budget_of_their_sampler(scenes):
    cfg = config_on(scenes, ISN)
    cfg.train_dataloader.batch_size = 1  # else the last batch of so few chips is filled up
    cost = training_cost(cfg)
    assert cost.images == 8
    assert cost.pixels.plain == pytest.approx(427 * 320, rel=0.1)
    assert cost.pixels.padded == cost.pixels.plain


def test_size_of_crops_and_choices():
    resize = dict(type='Resize', scale=(533, 320), keep_ratio=True)
    crop = dict(type='RandomCrop', crop_type='relative', crop_size=(0.5, 0.25))
    rng = np.random.default_rng(0)
    # (width, height) shares: 128x48 at x4.164 is limited by the long side.
    assert size_of_pipeline([crop, resize], 'here')((256, 192), rng) == (533, 200)
    choice = dict(type='RandomChoice', transforms=[resize, [crop, resize]], prob=[0.25, 0.75])
    size = size_of_pipeline([dict(type='LoadMasksOrBoxes'), choice], 'here')
    drawn = [size((256, 192), rng) for _ in range(400)]
    assert set(drawn) == {(427, 320), (533, 200)}
    assert drawn.count((533, 200)) == pytest.approx(300, abs=3 * np.sqrt(400 * 0.25 * 0.75))
    with pytest.raises(ValueError, match='ends at a random size'):
        size_of_pipeline([dict(type='RandomCrop', crop_type='relative_range', crop_size=(0.5, 0.5))], 'here')(
            (9, 9), rng
        )


def test_the_views_of_a_test(scenes):
    ann_file = scenes / 'annotations' / 'instances_val.json'
    cfg = Config.fromfile(ISN)
    assert pixels_of_test(cfg, ann_file, tta=True) == sum((256 * 192 * f * f) for f in (4, 2, 1, 0.5, 0.25))
    assert pixels_of_test(cfg, ann_file, tta=False) == 320 * 240
    nine = sum(int(short * 4 / 3 + 0.5) * short for short in range(160, 481, 40))
    assert pixels_of_test(Config.fromfile(MULTI), ann_file, tta=True) == nine


# Budgets.


def test_equal_pixels_for_every_way_of_training():
    table = BUDGETS['table']
    # Single-scale and ISN train 8 epochs of 136,640 px per image, multi-scale ones of 106,600.
    assert epochs_for(table, Pixels(0, 136_640)) == 8
    assert epochs_for(table, Pixels(0, 106_600)) == 10
    assert epochs_for(table, Pixels(0, 1e9)) == 1


def test_the_kept_results_of_table6_stay_what_the_budget_says():
    """At their mean sizes; 800 pictures average the draws."""
    multi = Config.fromfile(MULTI).train_dataloader.dataset.pipeline[2].scales
    mean = np.mean([int(short * 4 / 3 + 0.5) * short for _, short in multi])
    assert epochs_for(BUDGETS['table'], Pixels(0, mean)) == Config.fromfile(MULTI).train_cfg.max_epochs == 10
    budget = Config.fromfile(ISN).train_dataloader.sampler.pixels_per_image
    assert epochs_for(BUDGETS['table'], Pixels(0, budget)) == Config.fromfile(ISN).train_cfg.max_epochs == 8


@pytest.mark.parametrize('path', [SINGLE, MULTI, ISN])
def test_the_configs_have_the_schedule_of_the_budget(path):
    cfg = load_config(path)
    options = schedule_options(cfg, cfg.train_cfg.max_epochs)
    assert {k: v for k, v in options.items() if k.startswith('param')} == {
        'param_scheduler.1.milestones': cfg.param_scheduler[1].milestones,
        'param_scheduler.1.end': cfg.param_scheduler[1].end,
    }
    assert options['custom_hooks.0.begin'] == cfg.custom_hooks[0].begin


def test_schedule_of_a_cosine_and_of_what_is_not_known():
    cfg = load_config(SINGLE)
    cfg.param_scheduler = [
        dict(type='LinearLR', begin=0, end=500, by_epoch=False),
        dict(type='CosineAnnealingLR', begin=0, T_max=8, end=8),
    ]
    cfg.custom_hooks = []
    assert schedule_options(cfg, 3) == {
        'train_cfg.max_epochs': 3,
        'param_scheduler.1.T_max': 3,
        'param_scheduler.1.end': 3,
    }
    cfg.param_scheduler[1]['type'] = 'PolyLR'
    with pytest.raises(ValueError, match=r'no rule for a PolyLR of 3 epochs \(param_scheduler\.1\)'):
        schedule_options(cfg, 3)


def test_budget_of_a_smoke_run_on_coco():
    cfg = load_config(str(ROOT / 'configs/isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'))
    options = budget_options(cfg, BUDGETS['smoke'], 'coco')
    apply_options(cfg, options, 'here')
    assert cfg.model.backbone.init_cfg is None
    assert cfg.train_cfg.max_epochs == 1
    assert cfg.train_dataloader.batch_size == 2
    assert cfg.auto_scale_lr.enable
    # Nothing but the learning rate's scale changes where it is trained in earnest.
    table = budget_options(load_config(cfg.filename), BUDGETS['table'], 'coco')
    assert table == {'auto_scale_lr.enable': True}


def test_demo_is_a_budget_of_the_scenes():
    check_budget(BUDGETS['demo'], 'scenes')
    with pytest.raises(ValueError, match='coco is run with smoke, or with table'):
        check_budget(BUDGETS['demo'], 'coco')
    assert Budget('x', 1, 1, 3).pixels_per_image == 3 * 136_640
