"""The configs of detectors behind ScaleNet say what their file names and the paper say (Tables 5 and 6)."""

import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from config_files import CONFIGS, build, load
from mmdet.registry import METRICS, PARAM_SCHEDULERS, TRANSFORMS, VISUALIZERS
from mmengine.dataset import Compose

from mmisn.chips import FocusChips, GridChips, PyramidChips, RecursiveChips
from mmisn.structures import ViewFilter

DETECTORS = sorted(p.relative_to(CONFIGS).as_posix() for p in (CONFIGS / 'scalenet').glob('*_chip-detector.py'))
UPSAMPLED = sorted(p.relative_to(CONFIGS).as_posix() for p in (CONFIGS / 'scalenet').glob('*-upsampled_*[!r].py'))
NAME = re.compile(
    r'(?P<rule>plain|grid|recursive|focus|pyramid)-(?P<isn>isn-)?(?P<method>faster|mask)-rcnn_(?P<backbone>r18-small|r50|r101|'
    r'r101-caffe)_(?P<neck>fpn|dc5|c4)(?P<size>-600)?_(?P<schedule>\w+?)(?P<upsampled>-upsampled)?(-18e)?_'
    r'(?P<data>coco|scenes)(?P<soft>_soft-nms)?_chip-detector'
)
KINDS = dict(plain=PyramidChips, grid=GridChips, recursive=RecursiveChips, focus=FocusChips, pyramid=PyramidChips)


def tokens(file):
    match = NAME.fullmatch(Path(file).stem)
    assert match, f'{file} does not follow the naming scheme'
    return match.groupdict()


def test_the_rows_that_there_are():
    found = {(n['rule'], n['method'], n['data'], bool(n['upsampled']), bool(n['soft'])) for n in map(tokens, DETECTORS)}
    for data in ('scenes', 'coco'):
        for rule in KINDS:
            assert (rule, 'faster', data, False, False) in found
        assert {('plain', 'faster', data, True, False), ('recursive', 'faster', data, True, False)} <= found
        assert ('recursive', 'faster', data, True, True) in found
    assert {(r, 'mask', 'coco', False, False) for r in ('plain', 'grid', 'recursive')} <= found
    # With and without FPN.
    assert {'fpn', 'dc5', 'c4'} == {tokens(f)['neck'] for f in DETECTORS if tokens(f)['rule'] == 'recursive'}


@pytest.mark.parametrize('file', DETECTORS)
def test_detector(file):
    name, model = tokens(file), build(file)
    assert type(model).__name__ == 'ChipDetector' and type(model.generator) is KINDS[name['rule']]
    assert hasattr(model.detector.roi_head, 'mask_head') == (name['method'] == 'mask')
    assert model.detector.neck is not None if name['neck'] == 'fpn' else not model.detector.with_neck
    assert (model.scale_net is not None) == (name['rule'] in ('recursive', 'focus'))
    if name['soft'] or name['rule'] in ('focus', 'pyramid'):
        assert model.nms['type'] == 'soft_nms' and model.nms['method'] == 'gaussian'
    else:
        # The detector's own threshold, 0.5 in all of them.
        assert model.nms == dict(type='nms', iou_threshold=0.5)
    assert model.max_per_img == (100 if name['rule'] in ('focus', 'pyramid') else 300)
    # Around a detector that has seen enlarged pictures, as these were enlarged.
    enlarges = name['rule'] in ('grid', 'recursive') and not (name['upsampled'] or name['isn'])
    assert model.interpolation == ('bicubic' if enlarges else 'bilinear')


@pytest.mark.parametrize('file', [f for f in DETECTORS if not tokens(f)['isn']])
def test_whole_image_is_seen_at_the_size_that_the_detector_was_trained_at(file):
    name, model, cfg = tokens(file), build(file), load(file)
    trained = {'scenes': (533, 320), 'coco': (1000, 600) if name['size'] else (1333, 800)}[name['data']]
    level = model.generator.levels[0] if name['rule'] == 'plain' else model.generator.level
    assert level == trained
    transforms = [t for t in cfg.train_pipeline if t.type == 'Resize']
    transforms += [t for c in cfg.train_pipeline if c.type == 'RandomChoice' for t in c.transforms[0]]
    assert [tuple(t.scale) for t in transforms] == [trained]


@pytest.mark.parametrize('file', [f for f in DETECTORS if tokens(f)['rule'] == 'recursive'])
def test_windows(file):
    name, model = tokens(file), build(file)
    share = (0.4 if name['data'] == 'scenes' else 1.0) * (0.75 if name['size'] else 1.0)
    rule, settings = model.generator.settings.rule, model.generator.settings
    # The scenes' net weighs small objects; their pictures are seen at x1.67 already.
    threshold, rescales = (0.4, 1) if name['data'] == 'scenes' else (0.3, 2)
    assert (rule.small, rule.large, rule.threshold, rule.magnification) == ((1,), (), threshold, 2.0)
    assert model.generator.max_rescales == rescales
    assert settings.size == 0.75 * model.generator.level[1] and settings.size == pytest.approx(600 * share)
    assert settings.margin == pytest.approx(50 * share, abs=0.5)
    assert settings.min_pixels == (round(16 * share**2) if name['data'] == 'scenes' else 16)
    # Boxes of class 1 and 2 are kept: up to the bound of ScaleNet's class 2, in the detector's pixels.
    net_px = model.generator.look[1] / model.generator.level[1]
    upper = model.window_filter.scale_range.upper
    assert (
        upper * net_px == pytest.approx(model.scale_net.class_bounds[2], rel=0.02)
        and len(model.scale_net.class_bounds) == 6
    )
    assert model.window_filter.edge_margin == pytest.approx(8 * share, abs=0.5)
    # The whole image reports everything.
    assert model.view_filters == ViewFilter()


@pytest.mark.parametrize('file', [f for f in DETECTORS if tokens(f)['rule'] == 'focus'])
def test_focus_is_the_pyramid(file):
    model, cfg = build(file), load(file)
    assert model.generator.levels == tuple(cfg.factors) == (4.0, 2.0, 1.0, 0.5, 0.25)
    scale_range = model.view_filters.scale_range
    assert (scale_range.lower, scale_range.upper) == tuple(cfg.scale_range)
    assert set(model.generator.scale_ranges) == {scale_range}
    assert model.view_filters.edge_margin > 0
    assert model.generator.class_bounds == model.scale_net.class_bounds and model.scale_net.measure == 'sqrt_box'
    # Small views lie on canvases, on which a further one costs little.
    scenes = tokens(file)['data'] == 'scenes'
    assert model.packing.side == (768 if scenes else 1536) and model.generator.threshold == (0.4 if scenes else 0.3)
    assert cfg.model.generator.grid.overhead == (4096 if scenes else 16384)


@pytest.mark.parametrize('file', [f for f in DETECTORS if tokens(f)['rule'] == 'pyramid'])
def test_the_pyramid_that_focus_is_compared_with(file):
    model, focus = build(file), build(file.replace('pyramid-', 'focus-'))
    assert model.generator.levels == focus.generator.levels
    assert model.view_filters.scale_range == focus.view_filters.scale_range
    assert (model.nms, model.max_per_img) == (focus.nms, focus.max_per_img)


@pytest.mark.parametrize('file', [f for f in DETECTORS if tokens(f)['rule'] in ('recursive', 'focus')])
def test_scale_net_has_the_weights_of_its_own_training(file):
    cfg = load_with_weights(file)
    checkpoint = Path(cfg.model.scale_net.init_cfg.checkpoint)
    own = load(f'scalenet/{checkpoint.parent.name}.py')
    assert checkpoint.parts[0] == 'work_dirs' and checkpoint.name == f'epoch_{own.train_cfg.max_epochs}.pth'
    trained = own.model.to_dict()
    used = {k: v for k, v in cfg.model.scale_net.to_dict().items() if k != 'init_cfg'}
    assert used['head'] == trained['head'] and used['decoder'] == trained['decoder']
    assert used.get('view_size') == trained.get('view_size')


@cache
def load_with_weights(file):
    from mmengine.config import Config

    return Config.fromfile(CONFIGS / file)


@pytest.mark.parametrize('file', DETECTORS)
def test_pipeline_and_pictures(file):
    cfg = load(file)
    steps = [t.type for t in cfg.test_dataloader.dataset.pipeline]
    assert steps[0] == 'LoadImageFromFile' and 'Resize' not in steps
    assert cfg.test_dataloader == cfg.val_dataloader
    Compose(cfg.test_dataloader.dataset.pipeline)
    assert VISUALIZERS.get(cfg.visualizer.type).__name__ == 'WindowVisualizer'
    assert METRICS.get(cfg.test_evaluator.type).__name__ == 'ScaleRangeCocoMetric'
    assert cfg.custom_hooks[-1] == dict(type='ViewCostHook')
    assert ('segm' in cfg.test_evaluator.metric) == (tokens(file)['method'] == 'mask')


@pytest.mark.parametrize('file', UPSAMPLED)
def test_fine_tuning(file):
    cfg = load(file)
    assert cfg.load_from.startswith('work_dirs/') and cfg.load_from.endswith('.pth')
    (choice,) = (t for t in cfg.train_pipeline if t.type == 'RandomChoice')
    whole, crop = choice.transforms
    assert [t.type for t in whole] == ['Resize'] and [t.type for t in crop] == ['RandomCrop', 'Resize']
    assert choice.prob == [0.5, 0.5]
    transform = TRANSFORMS.build(choice)
    sample = dict(
        img=np.zeros((120, 160, 3), np.uint8),
        img_shape=(120, 160),
        gt_bboxes=boxes([[10, 10, 150, 110], [60, 40, 100, 80]]),
        gt_bboxes_labels=np.zeros(2, np.int64),
        gt_ignore_flags=np.zeros(2, bool),
    )
    sizes, scales = set(), set()
    for seed in range(8):
        np.random.seed(seed)
        result = transform({k: v.copy() if hasattr(v, 'copy') else v for k, v in sample.items()})
        sizes.add(result['img'].shape[:2])
        scales.add(round(float(result['scale_factor'][0]) / (result['img'].shape[1] / 160), 2))
    # A crop of half the sides, at the size of the whole: magnified twice as much.
    assert len(sizes) == 1 and scales == {1.0, 2.0}
    for scheduler in cfg.param_scheduler:
        assert PARAM_SCHEDULERS.get(scheduler.type) and scheduler.end in (1, 4, 500) and '_delete_' not in scheduler
    assert cfg.train_cfg.max_epochs == 4 and cfg.optim_wrapper.optimizer.lr == 0.002


def boxes(values):
    from mmdet.structures.bbox import HorizontalBoxes

    return HorizontalBoxes(np.array(values, np.float32))
