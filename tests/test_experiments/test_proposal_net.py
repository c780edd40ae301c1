"""The proposal network of a config: what it is, how long it trains, and what it finds at each level."""

import copy
from pathlib import Path

import mmcv
import numpy as np
import pytest
import torch
from mmcv.ops import nms
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import Config
from mmengine.dataset import pseudo_collate

import mmisn.evaluation  # noqa: F401
from mmisn.datasets.proposals import load_proposals
from mmisn.experiments import proposal_net
from mmisn.experiments.proposal_net import proposal_net_config
from mmisn.structures import Chip, clip_boxes, crop_resample
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_retinanet_cfg

CONFIGS = Path(__file__).parents[2] / 'configs'
# FPN, no FPN, another backbone, deformable convolution, small networks.
ISN = (
    'isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py',
    'isn-faster-rcnn_r18_dc5_8xb4-18e_coco.py',
    'isn-faster-rcnn_mobilenetv2_fpn-dcn_8xb4-18e_coco.py',
    'isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py',
)
PIPELINE = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip', interpolation='bicubic'),
    dict(type='PackInstanceInputs'),
]
LEVELS = (2.0, 1.0, (60, 50))
IMAGES = [(100, 80), (60, 90)]


@pytest.fixture
def cfg(coco_folder, inner_cfg, tmp_path):
    inner = inner_cfg(coco_folder(IMAGES, [(0, 2, [5.0, 5.0, 30.0, 40.0], {})]))
    generator = dict(type='CoverChips', factors=LEVELS, scale_range=(16, 60), chip_size=64)
    chips = dict(type='ChipDataset', dataset=inner, generator=generator, pipeline=PIPELINE, cache_dir='')
    made = Config(
        dict(
            model=tiny_faster_rcnn_cfg().to_dict(),
            train_dataloader=dict(batch_size=2, num_workers=0, dataset=dict(chips, negatives=dict(proposals='p.npz'))),
            train_cfg=dict(type='EpochBasedTrainLoop', max_epochs=12),
            param_scheduler=[
                dict(type='LinearLR', start_factor=0.1, begin=0, end=1, convert_to_iter_based=True),
                dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=500),
                dict(type='MultiStepLR', begin=0, end=12, milestones=[8, 11]),
                dict(type='ConstantLR', begin=9, end=12),
            ],
            custom_hooks=[dict(type='NormEvalHook', begin=5), dict(type='SyncBuffersHook')],
            val_dataloader=dict(batch_size=1),
            val_evaluator=dict(type='CocoMetric'),
            val_cfg=dict(type='ValLoop'),
        )
    )
    made.dump(tmp_path / 'made.py')
    return Config.fromfile(tmp_path / 'made.py')


def without_weights(model):
    model = copy.deepcopy(model)
    model.backbone.init_cfg = None
    return model


@pytest.mark.parametrize('name', ISN)
def test_configs_give_a_network_that_shares_the_detectors_weights(name):
    cfg = Config.fromfile(CONFIGS / 'isn' / name)
    derived = proposal_net_config(cfg, 2)
    with torch.device('meta'):
        detector, rpn = (MODELS.build(without_weights(c.model)) for c in (cfg, derived))
    shapes = {k.replace('rpn_head.', 'bbox_head.'): v.shape for k, v in detector.state_dict().items()}
    ours = {k: v.shape for k, v in rpn.state_dict().items()}
    assert ours == {k: v for k, v in shapes.items() if not k.startswith('roi_head')}
    assert type(rpn.bbox_head).__name__ == 'ScaleRangeRPNHead' and rpn.bbox_head.filter_in_test
    assert type(rpn.bbox_head.assigner).__name__ == 'ScaleRangeAssigner'
    assert rpn.bbox_head.test_cfg.nms.iou_threshold == 0.7 and rpn.bbox_head.test_cfg.max_per_img == 300
    assert derived.train_cfg.max_epochs == 2


def test_schedule_is_the_beginning_of_the_configs_own(cfg):
    cfg.train_dataloader.dataset.dataset.indices = 1
    before = copy.deepcopy(cfg).to_dict()
    derived = proposal_net_config(cfg, 3)
    assert cfg.to_dict() == before
    assert derived.train_cfg.max_epochs == 3
    assert [(s.type, s.begin, s.end) for s in derived.param_scheduler] == [
        ('LinearLR', 0, 1),
        ('LinearLR', 0, 500),
        ('MultiStepLR', 0, 3),
    ]
    assert [h.get('begin') for h in derived.custom_hooks] == [2, None]
    assert proposal_net_config(cfg, 1).custom_hooks[0].begin == 1
    assert derived.val_dataloader is derived.val_evaluator is derived.val_cfg is None
    assert 'negatives' not in derived.train_dataloader.dataset and 'negatives' in cfg.train_dataloader.dataset
    assert 'indices' not in derived.test_dataloader.dataset
    assert derived.test_dataloader.dataset.test_mode and derived.test_dataloader.dataset.type == 'CocoDataset'


def test_ranges_in_the_original_frame_and_without_end(cfg):
    ranges = [dict(lower=0, upper=80, frame='original'), (16, 60), dict(lower=40, upper=None, frame='original')]
    cfg.train_dataloader.dataset.generator.scale_range = ranges
    derived = proposal_net_config(cfg)
    text = Config.fromstring(derived.pretty_text, '.py')
    assert text.to_dict() == derived.to_dict()
    for found in (text.tta_model.scale_range, text.test_evaluator.scale_ranges):
        assert [(r.lower, r.upper, r.frame) for r in found] == [
            (0, 80, 'original'),
            (16, 60, 'view'),
            (40, None, 'original'),
        ]


def test_slow_batch_norm_of_a_short_training(cfg):
    cfg.model.backbone.norm_cfg.momentum = 0.01
    assert 'momentum' not in proposal_net_config(cfg).model.backbone.norm_cfg


def edit(path, value):
    def change(cfg):
        cfg.merge_from_dict({path: value})

    return change


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda c: setattr(c, 'model', tiny_retinanet_cfg()), 'made.py trains a RetinaNet without rpn_head'),
        (edit('model.rpn_head.type', 'GARPNHead'), 'has an rpn_head of type GARPNHead, which cannot filter'),
        (
            edit('train_dataloader.dataset.type', 'CocoDataset'),
            'trains on CocoDataset of CocoDataset, which has no chips',
        ),
        (
            lambda c: setattr(c.train_dataloader.dataset, 'generator', dict(type='PyramidChips', factors=[1.0])),
            'has the chip generator PyramidChips; negative chips need CoverChips',
        ),
        (
            lambda c: setattr(c.train_dataloader.dataset, 'dataset', dict(type='ConcatDataset', datasets=[])),
            'takes its chips from a ConcatDataset; a plain dataset such as CocoDataset is needed',
        ),
        (
            lambda c: setattr(c, 'train_cfg', dict(type='IterBasedTrainLoop', max_iters=9)),
            'one with max_epochs is needed',
        ),
    ],
)
def test_configs_that_do_not_fit(cfg, change, match):
    change(cfg)
    with pytest.raises(ValueError, match=match):
        proposal_net_config(cfg)


def expected_proposals(rpn, image_bgr, factor_size, max_per_level):
    """In range first, then NMS, then the best: from all boxes of the head, by hand, in original pixels."""
    height, width = image_bgr.shape[:2]
    chip = Chip.full((width, height), factor_size)
    view = crop_resample(image_bgr, chip, 'bicubic')
    meta = dict(img_shape=view.shape[:2], scale_factor=chip.factors, ori_shape=(height, width))
    pixels = torch.from_numpy(view).permute(2, 0, 1)
    batch = rpn.data_preprocessor(dict(inputs=[pixels], data_samples=None))['inputs']
    with torch.no_grad():
        scores, deltas = rpn.bbox_head(rpn.extract_feat(batch))
    priors = rpn.bbox_head.prior_generator.grid_priors([s.shape[-2:] for s in scores], device='cpu')
    decoded = [
        rpn.bbox_head.bbox_coder.decode(p, d[0].permute(1, 2, 0).reshape(-1, 4), max_shape=meta['img_shape'])
        for p, d in zip(priors, deltas)
    ]
    logits = [s[0].permute(1, 2, 0).reshape(-1) for s in scores]
    boxes, score = torch.cat(decoded), torch.cat(logits).sigmoid()
    fpn_level = torch.cat([torch.full((len(d),), i) for i, d in enumerate(decoded)])
    scale = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    keep = (scale >= 16) & (scale <= 60)
    assert 0 < keep.sum() < len(keep)
    boxes, score, fpn_level = boxes[keep], score[keep], fpn_level[keep]
    # mmdet suppresses within each level of the FPN.
    picked = [nms(boxes[fpn_level == i], score[fpn_level == i], 0.7)[0] for i in fpn_level.unique()]
    best = torch.cat(picked)
    best = best[best[:, 4].argsort(descending=True)][:max_per_level].numpy()
    fx, fy = chip.factors
    return clip_boxes(best[:, :4] / [fx, fy, fx, fy], (width, height)), best[:, 4]


def test_proposals_of_each_level(cfg, tmp_path, monkeypatch):
    """Through the derived TTA pipeline, model and metric, against the head's own boxes filtered by hand."""
    monkeypatch.setattr(proposal_net, 'MIN_NMS_PRE', 10**6)
    derived = proposal_net_config(cfg, max_per_level=12)
    # As mmdet's test script does with --tta.
    dataset = copy.deepcopy(derived.test_dataloader.dataset)
    dataset.pipeline = derived.tta_pipeline
    dataset = DATASETS.build(dataset)
    assert len(dataset) == 2  # the one without objects, too
    # Scores far from 1, where many would be equal.
    rpn = build_tiny_detector(derived.model, spread=3.0)
    model = MODELS.build(dict(**derived.tta_model, module=rpn)).eval()
    metric = METRICS.build(dict(derived.test_evaluator, out_file=str(tmp_path / 'p.npz')))
    images = []
    for batch in ([0], [1]):
        data = pseudo_collate([dataset[i] for i in batch])
        with torch.no_grad():
            samples = model.test_step(data)
        metric.process(data, [s.to_dict() for s in samples])
        images += [s.img_path for s in samples]
    metric.evaluate(len(dataset))
    read = load_proposals(tmp_path / 'p.npz')
    assert read.image_ids.tolist() == ['100', '101']
    for row, path in enumerate(images):
        image = mmcv.imread(path)
        width, height = IMAGES[row]
        sizes = [(2 * width, 2 * height), (width, height), (60, 48) if row == 0 else (40, 60)]
        for level, size in enumerate(sizes):
            boxes, scores = expected_proposals(rpn, image, size, 12)
            found = read.of_image(row)[level]
            assert len(found) == 12
            np.testing.assert_allclose(found, boxes, atol=2e-3)
            first = read.offsets[row * 3 + level]
            np.testing.assert_allclose(read.scores[first : first + 12], scores, atol=1e-5)
