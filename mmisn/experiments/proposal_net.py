"""The weak proposal network behind negative chips (SNIPER section 3.3), derived from a detector's config.

An RPN with the detector's backbone, neck and RPN head is trained for a few epochs on the detector's own chips, and then
looks at all training images at each level of the chip generator.
"""

import copy
import math
from dataclasses import asdict

from mmdet.registry import TASK_UTILS
from mmengine.config import Config, ConfigDict

from mmisn.chips import CoverChips
from mmisn.datasets import chip_dataset_cfg
from mmisn.structures import ScaleRange

# SNIPER's number; see ``proposal_net_config`` for the others.
NMS_IOU = 0.7
# mmdet's default; small networks are tested with less, and 300 boxes per level are to survive NMS.
MIN_NMS_PRE = 1000


def proposal_net_config(cfg: Config, epochs: int = 2, max_per_level: int = 300) -> Config:
    """Derive the config that trains the proposal network and, with ``--tta``, writes its proposals to proposals.npz.

    It trains the first ``epochs`` epochs of the config's own schedule on the config's chips, without negative ones, and
    tests on all images of the inner training dataset, one view per level of the chip generator. Proposals out of their
    level's range are dropped before any cut; NMS at an IoU of 0.7 and the best ``max_per_level`` follow, per level.

    Args:
        cfg: Trains a detector with an ``rpn_head`` on a ``ChipDataset`` with ``CoverChips``. It is not changed.
        epochs: Epochs of training.
        max_per_level: Proposals per image and level.

    Raises:
        ValueError: If the config has no such detector or dataset, or does not train by epochs.
    """
    cfg = copy.deepcopy(cfg)
    chips = chip_dataset_cfg(cfg)
    chips.pop('negatives', None)
    generator = TASK_UTILS.build(chips.generator)
    if not isinstance(generator, CoverChips):
        raise ValueError(
            f'{cfg.filename} has the chip generator {chips.generator.type}; negative chips need CoverChips'
        )
    cfg.model = _rpn(cfg, max_per_level)
    _shorten(cfg, epochs)
    ranges = [_spell_range(scale_range) for scale_range in generator.scale_ranges]
    cfg.test_dataloader = _test_dataloader(cfg, chips)
    cfg.test_evaluator = dict(
        type='DumpLevelProposals',
        out_file='proposals.npz',
        levels=list(generator.levels),
        scale_ranges=ranges,
        max_per_level=max_per_level,
    )
    cfg.test_cfg = dict(type='TestLoop')
    cfg.tta_model = dict(
        type='ScaleRangeTTAModel',
        scale_range=ranges,
        nms=None,
        max_per_img=max_per_level * len(generator.levels),
        view_test_cfg=None,
    )
    cfg.tta_pipeline = _tta_pipeline(chips, generator)
    cfg.val_dataloader = cfg.val_evaluator = cfg.val_cfg = None
    if cfg.get('auto_scale_lr'):
        cfg.auto_scale_lr.enable = True
    cfg.setdefault('default_hooks', ConfigDict())
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1, max_keep_ckpts=1)
    return cfg


def _spell_range(scale_range: ScaleRange) -> dict:
    # A config file has no name for infinity.
    return {k: None if v == math.inf else v for k, v in asdict(scale_range).items()}


def _rpn(cfg: Config, max_per_level: int) -> dict:
    model = cfg.get('model') or {}
    if 'rpn_head' not in model or 'rpn' not in (model.get('train_cfg') or {}):
        raise ValueError(
            f'{cfg.filename} trains a {model.get("type")} without rpn_head or train_cfg.rpn; the proposal network is '
            'made of these. Take the config of a two-stage detector with the same chip generator'
        )
    kinds = {'RPNHead': 'ScaleRangeRPNHead'}
    head = dict(model.rpn_head, type=kinds.get(model.rpn_head.type, model.rpn_head.type), filter_in_test=True)
    if head['type'] != 'ScaleRangeRPNHead':
        raise ValueError(f'{cfg.filename} has an rpn_head of type {head["type"]}, which cannot filter by scale range')
    backbone = copy.deepcopy(model.backbone)
    if isinstance(backbone.get('norm_cfg'), dict):
        # A slow average does not settle in so short a training.
        backbone.norm_cfg.pop('momentum', None)
    rpn = (model.get('test_cfg') or {}).get('rpn') or {}
    train_cfg = {k: model.train_cfg[k] for k in ('rpn', 'rpn_proposal') if k in model.train_cfg}
    test_cfg = dict(
        nms_pre=max(rpn.get('nms_pre', 0), MIN_NMS_PRE),
        max_per_img=max_per_level,
        nms=dict(type='nms', iou_threshold=NMS_IOU),
        min_bbox_size=0,
    )
    return dict(
        type='RPN',
        data_preprocessor=model.get('data_preprocessor'),
        backbone=backbone,
        neck=model.get('neck'),
        rpn_head=head,
        train_cfg=train_cfg,
        test_cfg=dict(rpn=test_cfg),
    )


def _shorten(cfg: Config, epochs: int) -> None:
    """Keep the first epochs of the schedule."""
    if 'max_epochs' not in (cfg.get('train_cfg') or {}):
        raise ValueError(f'{cfg.filename} has the train_cfg {cfg.get("train_cfg")}; one with max_epochs is needed')
    cfg.train_cfg.max_epochs = epochs
    cfg.train_cfg.val_interval = epochs + 1
    schedulers = cfg.get('param_scheduler') or []
    kept = []
    for scheduler in [schedulers] if isinstance(schedulers, dict) else schedulers:
        if scheduler.get('by_epoch', True):
            if scheduler.get('begin', 0) >= epochs:
                continue
            if scheduler.get('end') is not None:
                scheduler.end = min(scheduler.end, epochs)
        kept.append(scheduler)
    cfg.param_scheduler = kept
    for hook in cfg.get('custom_hooks') or []:
        if hook.get('type') == 'NormEvalHook':
            # The last epoch trains with the statistics that the test will use; of a single epoch none can.
            hook.begin = min(hook.begin, max(1, epochs - 1))


def _test_dataloader(cfg: Config, chips: ConfigDict) -> dict:
    inner = copy.deepcopy(chips.dataset)
    if 'dataset' in inner or 'datasets' in inner:
        raise ValueError(
            f'{cfg.filename} takes its chips from a {inner.get("type")}; a plain dataset such as CocoDataset is needed'
        )
    # The first images of all are not the first of those with objects, which training takes.
    inner.pop('indices', None)
    inner.update(test_mode=True, pipeline=[])
    return dict(
        batch_size=1,
        num_workers=cfg.train_dataloader.get('num_workers', 0),
        sampler=dict(type='DefaultSampler', shuffle=False),
        dataset=inner,
    )


def _tta_pipeline(chips: ConfigDict, generator: CoverChips) -> list[dict]:
    load = next((t for t in chips.pipeline if t.type.startswith('LoadImage')), dict(type='LoadImageFromFile'))
    crop = next((t for t in chips.pipeline if t.type == 'CropChip'), dict(type='CropChip'))
    views = [
        dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[level])) for level in generator.levels
    ]
    return [load, dict(type='TestTimeAug', transforms=[views, [crop], [dict(type='PackInstanceInputs')]])]
