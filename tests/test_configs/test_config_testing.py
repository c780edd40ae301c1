"""Pipelines, views and metrics of every config; the pyramid is that of the training."""

import pytest
import torch
from config_files import (
    COCO_MINI,
    FACTORS,
    FILES,
    SSDLITE,
    build,
    build_tta,
    detector_of,
    load,
    of,
    tokens,
    views,
    without_init,
)
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import METRICS, TASK_UTILS
from mmengine.dataset import Compose
from mmengine.hub import get_config
from mmengine.optim import build_optim_wrapper

from mmisn.structures import ScaleRange


@pytest.mark.parametrize('file', FILES)
def test_pipelines_build_and_a_test_has_one_view(file):
    cfg = load(file)
    Compose(cfg.train_dataloader.dataset.pipeline)
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        pipeline = loader.dataset.pipeline
        Compose(pipeline)
        assert loader.dataset.test_mode
        assert pipeline[-1].type in ('PackInstanceInputs', 'PackDetInputs')
        assert not [step.type for step in pipeline if step.type in ('RandomFlip', 'TestTimeAug', 'RandomChoiceResize')]
        sizes = [step.scale for step in pipeline if step.type == 'Resize']
        name, small = tokens(file), tokens(file)['data'] == 'scenes'
        size = {'isn': (1000, 600), 'snip': (1200, 800), 'sniper': (1280, 800), None: (1333, 800)}[name['rule']]
        size = tuple(round(0.4 * s) for s in size) if small else size
        assert sizes == ([] if name['chip_detector'] else [size])
    assert cfg.val_dataloader.dataset.pipeline == cfg.test_dataloader.dataset.pipeline


@of(rule='isn', chip_detector=False)
def test_pyramid_is_that_of_the_training(file):
    cfg = load(file)
    training = TASK_UTILS.build(cfg.train_dataloader.dataset.generator)
    found = []
    for view in views(cfg):
        generator = TASK_UTILS.build(view.generator)
        assert view.type == 'GenerateChips' and generator.flips == (False,) and generator.max_pixels is None
        found += generator.levels
    assert tuple(found) == training.levels == FACTORS
    model = build_tta(cfg)
    assert model.view_filters.scale_range == training.scale_ranges[0]


@of(rule='isn', chip_detector=True)
def test_chip_detector_is_the_pyramid_of_its_base(file):
    cfg, base = load(file), load(file.replace('_chip-detector', ''))
    model = build(file)
    assert cfg.model.detector == base.model
    assert model.generator.levels == tuple(f for view in views(base) for f in view.generator.factors)
    assert model.view_filters == build_tta(base).view_filters
    assert cfg.train_dataloader == base.train_dataloader


@of(ms='')
def test_multi_scale_testing(file):
    cfg = load(file)
    found = views(cfg)
    factor = 0.4 if tokens(file)['data'] == 'scenes' else 1
    assert [min(view.scale) for view in found] == [round(factor * s) for s in range(400, 1201, 100)]
    assert all(view.type == 'Resize' and view.keep_ratio for view in found)
    # No picture is so long that the long side's limit would count.
    assert all(max(view.scale) >= 3 * min(view.scale) for view in found)
    assert build_tta(cfg).view_filters.scale_range == ScaleRange.build(None)


@of(rule=False, ms=(None, '640-800', '160-1600'))
def test_single_scale_has_no_tta(file):
    assert 'tta_model' not in load(file)


@pytest.mark.parametrize('file', FILES)
def test_soft_nms_after_the_last_stage(file):
    test_cfg = detector_of(load(file).model.get('detector', load(file).model)).test_cfg
    last = test_cfg.get('rcnn', test_cfg)
    assert last.nms == dict(type='soft_nms', method='gaussian', sigma=0.5, min_score=0.001)
    assert (last.score_thr, last.max_per_img) == (0.001, 100)


@pytest.mark.parametrize('file', FILES)
def test_metric(file):
    cfg, small = load(file), tokens(file)['data'] == 'scenes'
    assert cfg.val_evaluator == cfg.test_evaluator
    further = {'mask-rcnn': ['segm']}.get(tokens(file)['method'], ['keypoints'] if tokens(file)['person'] else [])
    asked = cfg.val_evaluator.get('metric', 'bbox')
    assert ([asked] if isinstance(asked, str) else asked) == ['bbox', *further]
    # Without the annotation file, which is not here and which keypoints need.
    metric = METRICS.build(dict(cfg.val_evaluator, ann_file=None, metric='bbox'))
    assert not metric.format_only
    # The training range is among the ranges that are reported.
    assert ('6.4_224' if small else '16_560') in metric.scale_ranges


def without_scope(cfg):
    """Without the marks that inherited parts carry."""
    if isinstance(cfg, dict):
        return type(cfg)({k: without_scope(v) for k, v in cfg.items() if k != '_scope_'})
    return type(cfg)(map(without_scope, cfg)) if isinstance(cfg, (list, tuple)) else cfg


@pytest.mark.parametrize('file', SSDLITE)
def test_ssdlite_is_mmdetections_own(file):
    """MMDetection's network, losses and pipelines; only the metric differs, and on the scenes sizes and schedule."""
    cfg, model, small = without_scope(load(file)._cfg_dict), build(file), 'scenes' in file
    theirs = without_scope(get_config('mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py')._cfg_dict)
    factor = 0.4 if small else 1
    assert cfg.custom_imports == dict(imports=['mmisn'], allow_failed_imports=False)
    for ours, original in ((cfg.train_pipeline, theirs.train_pipeline), (cfg.test_pipeline, theirs.test_pipeline)):
        expected = [dict(s, scale=tuple(int(factor * v) for v in s.scale)) if 'scale' in s else s for s in original]
        assert ours == expected
        Compose(ours)
    assert cfg.train_dataloader.dataset.dataset.pipeline == cfg.train_pipeline
    generator, original = cfg.model.bbox_head.anchor_generator, theirs.model.bbox_head.anchor_generator
    for bounds in ('min_sizes', 'max_sizes'):
        assert generator[bounds] == pytest.approx([factor * s for s in original[bounds]])
    assert cfg.model.test_cfg == theirs.model.test_cfg and cfg.model.train_cfg == theirs.model.train_cfg
    side = int(factor * 320)
    maps = model.extract_feat(torch.empty(2, 3, side, side, device='meta'))
    anchors = model.bbox_head.prior_generator
    assert [m.shape[-1] for m in maps] == [8, 4, 2, 1, 1, 1] if small else [20, 10, 5, 3, 2, 1]
    assert [s * m.shape[-1] for (s, _), m in zip(anchors.strides, maps)] == pytest.approx([side] * 6, abs=1)
    assert model.bbox_head.num_classes == (7 if small else 80)
    assert type(model.bbox_head).__name__ == 'PatchedSSDHead' and isinstance(model.bbox_head, SSDHead)
    if not small:
        theirs.model.bbox_head.type = 'PatchedSSDHead'
        same = ('model', 'optim_wrapper', 'param_scheduler', 'train_cfg', 'train_dataloader', 'auto_scale_lr')
        assert all(cfg[k] == without_init(theirs[k]) for k in same)
    metric = METRICS.build(dict(cfg.val_evaluator, ann_file=None))
    assert type(metric).__name__ == 'ScaleRangeCocoMetric' and cfg.val_evaluator == cfg.test_evaluator
    assert ('6.4_224' if small else '16_560') in metric.scale_ranges
    build_optim_wrapper(model, cfg.optim_wrapper)


@pytest.mark.parametrize('file', COCO_MINI)
def test_coco_mini(file):
    """Half the paper's sizes on real images; training and testing of ISN agree here as well."""
    cfg, model = load(file), build(file)
    build_optim_wrapper(model, cfg.optim_wrapper)
    METRICS.build(dict(cfg.val_evaluator, ann_file=None))
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        Compose(loader.dataset.pipeline)
    assert model.roi_head.bbox_head.num_classes == len(cfg.metainfo['classes'])
    if 'tta_model' in cfg:
        tta = build_tta(cfg)
    if file.startswith('isn/'):
        generator = TASK_UTILS.build(cfg.train_dataloader.dataset.generator)
        (scale_range,) = set(generator.scale_ranges)
        assert (scale_range.lower, scale_range.upper, generator.chip_size) == (8, 280, 288)
        assert generator.levels == tuple(f for view in views(cfg) for f in view.generator.factors)
        assert tta.view_filters.scale_range == scale_range
