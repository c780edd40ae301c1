"""SNIP and SNIPER: the numbers of their papers (SNIP sections 4 and 5, SNIPER section 3.1, ISN section 3.2)."""

import math
import warnings

import numpy as np
import pytest
import torch
from config_files import build_tta, load, of, tokens, views
from mmcv import rescale_size
from mmdet.registry import DATASETS, MODELS, TASK_UTILS
from mmengine.config import ConfigDict
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import InstanceData

from mmisn.chips import PyramidChips
from mmisn.datasets.scenes import SceneConfig, make_scenes
from mmisn.structures import Chip, ScaleRange, ViewFilter

SIZES = {
    'snip': [(2000, 1400), (1200, 800), (800, 480)],
    'sniper': [(2000, 1400), (1280, 800), (512, 480)],
}
# Original pixels, level by level.
TRAINED = {'snip': [(0, 80), (40, 160), (120, math.inf)], 'sniper': [(0, 80), (32, 150), (120, math.inf)]}
TESTED = [(0, 90), (32, 180), (75, math.inf)]


def factor_of(file):
    return 0.4 if tokens(file)['data'] == 'scenes' else 1


def in_original_pixels(bounds, factor):
    return [ScaleRange(factor * lower, factor * upper, frame='original') for lower, upper in bounds]


def levels_at(sizes, factor):
    return [tuple(round(factor * side) for side in size) for size in sizes]


@of(rule='snip')
def test_snip_trains_whole_images_at_three_sizes_with_six_bounds(file):
    cfg, factor = load(file), factor_of(file)
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'ChipDataset' and 'negatives' not in dataset
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # no gaps
        generator = TASK_UTILS.build(dataset.generator)
    assert isinstance(generator, PyramidChips)
    assert list(generator.levels) == levels_at(SIZES['snip'], factor)
    assert list(generator.scale_ranges) == in_original_pixels(TRAINED['snip'], factor)
    assert_trains_like_isn(file)


def assert_trains_like_isn(file):
    """The same pipeline, as many pixels, batches of one size."""
    cfg = load(file)
    isn = load(f'isn/isn-faster-rcnn_r{"18-small" if factor_of(file) == 0.4 else "50"}_fpn_{name_end(file)}')
    assert cfg.train_dataloader.dataset.pipeline == isn.train_dataloader.dataset.pipeline
    assert cfg.train_dataloader.sampler == isn.train_dataloader.sampler
    assert cfg.train_dataloader.batch_sampler == isn.train_dataloader.batch_sampler


@of(rule='sniper')
def test_sniper_trains_on_chips_of_three_levels_with_six_bounds(file):
    cfg, factor = load(file), factor_of(file)
    dataset = cfg.train_dataloader.dataset
    assert dataset.type == 'ChipDataset' and 'negatives' not in dataset
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        generator = TASK_UTILS.build(dataset.generator)
    assert list(generator.levels) == [3.0, 1.667, (205, 205) if factor == 0.4 else (512, 512)]
    assert list(generator.scale_ranges) == in_original_pixels(TRAINED['sniper'], factor)
    assert generator.chip_size == (210 if factor == 0.4 else 512)
    assert generator.stride == ((22, 24) if factor == 0.4 else (56, 60))
    assert_trains_like_isn(file)


def name_end(file):
    # Batches of four of SNIP's large pictures stand for eight of ISN's chips.
    return file.rpartition('dcn_' if '-dcn_' in file else 'dc5_')[2].replace('1xb4', '1xb8')


def test_small_chips_are_whole_pixels_where_levels_are_factors():
    assert [210 / 3, 210 / (5 / 3)] == [70, 126]
    generator = TASK_UTILS.build(
        load('baselines/sniper-faster-rcnn_r18-small_dc5_1xb8_scenes.py').train_dataloader.dataset.generator
    )
    boxes = np.array([[100.0, 80, 110, 90], [20, 20, 60, 50], [10, 10, 200, 150]])
    chips = generator.plan((256, 192), boxes, np.random.default_rng(0)).chips
    # The whole picture is 205x154 at the last level.
    assert [(c.wh, c.size_wh) for c in chips] == [
        ((70, 70), (210, 210)),
        ((126, 126), (210, 210)),
        ((256, 192), (205, 154)),
    ]


@of(rule=('snip', 'sniper'))
def test_three_test_sizes_with_six_wider_bounds(file):
    cfg, factor = load(file), factor_of(file)
    rule = tokens(file)['rule']
    generators = [TASK_UTILS.build(view.generator) for view in views(cfg)]
    assert all(view.type == 'GenerateChips' and 'flip_prob' not in view for view in views(cfg))
    assert all(g.flips == (False,) and g.max_pixels is None and g.scale_ranges is None for g in generators)
    assert [level for g in generators for level in g.levels] == levels_at(SIZES[rule], factor)
    ranges = [ViewFilter(r) for r in in_original_pixels(TESTED, factor)]
    assert build_tta(cfg).view_filters == ranges


class Told(torch.nn.Module):
    """A detector that notes what each view is told and reports boxes of 10 to 200 px in original pixels."""

    def __init__(self, sides):
        super().__init__()
        self.sides, self.told = sides, []

    def test_step(self, data):
        for sample in data['data_samples']:
            self.told.append((sample.chip.size_wh, sample.scale_range))
            boxes = torch.tensor([[0.0, 0, side, side] for side in self.sides])
            ones = torch.ones(len(boxes))
            sample.pred_instances = InstanceData(bboxes=boxes, scores=0.5 * ones, labels=0 * ones.long())
        return data['data_samples']


def test_views_are_told_their_range_and_report_what_lies_in_it():
    """640x480 px: sizes 1867x1400, 1067x800, 640x480 for SNIP."""
    cfg = load('baselines/snip-faster-rcnn_r50_dc5-dcn_8xb4-18e_coco.py')
    sides = [10.0, 31.5, 32, 74.5, 75, 90, 90.5, 180, 180.5, 400]
    model = MODELS.build(ConfigDict(**cfg.tta_model, module=Told(sides), nms=None, view_test_cfg=None))
    image = np.zeros((480, 640, 3), np.uint8)
    tta = next(step for step in cfg.tta_pipeline if step.type == 'TestTimeAug')
    tta.transforms = [tta.transforms[0], tta.transforms[1], [dict(type='PackInstanceInputs')]]
    item = Compose([tta])(dict(img=image, img_id=1, img_path='a.jpg', img_shape=(480, 640), ori_shape=(480, 640)))
    (result,) = model.test_step(pseudo_collate([item]))
    factors = [math.sqrt(1867 / 640 * 1400 / 480), math.sqrt(1067 / 640 * 800 / 480), 1]
    assert [size for size, _ in model.module.told] == [(1867, 1400), (1067, 800), (640, 480)]
    for (_, told), (lower, upper), factor in zip(model.module.told, TESTED, factors):
        assert told == pytest.approx((lower * factor, upper * factor), rel=1e-12)
    found = result.pred_instances
    kept = [sorted(found.bboxes[found.view_ids == view, 2].tolist()) for view in range(3)]
    assert kept == [sides[:6], sides[2:8], sides[4:]]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp('scenes')
    make_scenes(folder, 6, 2, SceneConfig.small())
    return folder


def on_scenes(file, scenes):
    cfg = load(file)
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root = f'{scenes}/'
    if cfg.train_dataloader.dataset.type == 'ChipDataset':
        cfg.train_dataloader.dataset.update(cache_dir='', num_procs=1)
    return cfg


def test_snip_judges_objects_in_original_pixels(scenes):
    cfg = on_scenes('baselines/snip-faster-rcnn_r18-small_dc5_1xb4_scenes.py', scenes)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    sizes = [rescale_size((256, 192), size) for size in levels_at(SIZES['snip'], 0.4)]
    bounds = dict(zip(sizes, TRAINED['snip']))
    seen = []
    for sample in [dataset[i]['data_samples'] for i in range(len(dataset))]:
        chip = sample.chip
        assert chip == Chip.full((256, 192), chip.size_wh, chip.flip)
        lower, upper = (0.4 * bound for bound in bounds[chip.size_wh])
        assert sample.scale_range == pytest.approx((lower * chip.factor, upper * chip.factor))
        assert len(sample.gt_instances) > 0
        for instances, inside in ((sample.gt_instances, True), (sample.ignored_instances, False)):
            wh = instances.bboxes.tensor[:, 2:] - instances.bboxes.tensor[:, :2]
            scales = (wh.prod(dim=1).sqrt() / chip.factor).tolist()
            # Crowds are ignored whatever their scale is; scenes have none.
            assert all((lower - 1e-3 <= s <= upper + 1e-3) == inside for s in scales)
        seen.append((chip.size_wh, chip.flip))
    # Each of the six pictures at most once at each size; flips come by chance.
    assert {size for size, _ in seen} == set(sizes) and {flip for _, flip in seen} == {False, True}
    assert all(sum(size == s for s, _ in seen) <= 6 for size in sizes)


@pytest.mark.parametrize('rule, batch', [('snip', 4), ('sniper', 8)])
def test_trains_and_tests_on_scenes(scenes, rule, batch):
    """Two steps on the config's own batches, then the three views of a picture, merged."""
    cfg = on_scenes(f'baselines/{rule}-faster-rcnn_r18-small_dc5_1xb{batch}_scenes.py', scenes)
    torch.manual_seed(0)
    np.random.seed(0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    for first in (0, 2):
        data = model.data_preprocessor(pseudo_collate([dataset[first + i] for i in range(2)]), True)
        loss, log = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert all(value.isfinite() for value in log.values()) and loss > 0
    tta = MODELS.build(ConfigDict(**cfg.tta_model, module=model)).eval()
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    with torch.no_grad():
        (result,) = tta.test_step(pseudo_collate([DATASETS.build(cfg.test_dataloader.dataset)[0]]))
    assert result.num_views == 3
    sizes = [rescale_size((256, 192), size) for size in levels_at(SIZES[rule], 0.4)]
    assert result.view_pixels == sum(w * h for w, h in sizes)
    boxes = result.pred_instances.bboxes
    scales = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1).sqrt()
    assert len(boxes) > 0
    for view, (lower, upper) in enumerate(TESTED):
        of_view = scales[result.pred_instances.view_ids == view]
        assert ((of_view >= 0.4 * lower - 1e-3) & (of_view <= 0.4 * upper + 1e-3)).all()
