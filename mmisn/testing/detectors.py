"""Tiny detectors for tests: real MMDetection models, a few thousand weights, random but reproducible."""

import copy

import torch
from mmengine.config import ConfigDict
from torch import nn

# Names of the layers whose output is a score or a box; their initial weights are so small that every score is the same.
_PREDICTION_LAYERS = ('fc_cls', 'fc_reg', 'rpn_cls', 'rpn_reg', 'retina_cls', 'retina_reg', 'conv_cls', 'conv_reg')


def _preprocessor_cfg() -> dict:
    return dict(
        type='DetDataPreprocessor',
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_size_divisor=32,
    )


def _backbone_cfg() -> dict:
    return dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        style='pytorch',
        init_cfg=None,
    )


def _coder_cfg(stds: tuple[float, ...]) -> dict:
    return dict(type='DeltaXYWHBBoxCoder', target_means=[0.0] * 4, target_stds=list(stds))


def _assigner_cfg(pos: float, neg: float, low_quality: bool) -> dict:
    return dict(
        type='MaxIoUAssigner',
        pos_iou_thr=pos,
        neg_iou_thr=neg,
        min_pos_iou=neg,
        match_low_quality=low_quality,
        ignore_iof_thr=-1,
    )


def _rpn_head_cfg() -> dict:
    return dict(
        type='RPNHead',
        in_channels=16,
        feat_channels=16,
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=_coder_cfg((1.0, 1.0, 1.0, 1.0)),
        loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    )


def _roi_head_cfg(num_classes: int) -> dict:
    return dict(
        type='StandardRoIHead',
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=7, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        ),
        bbox_head=dict(
            type='Shared2FCBBoxHead',
            in_channels=16,
            fc_out_channels=32,
            roi_feat_size=7,
            num_classes=num_classes,
            bbox_coder=_coder_cfg((0.1, 0.1, 0.2, 0.2)),
            reg_class_agnostic=False,
            loss_cls=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            loss_bbox=dict(type='L1Loss', loss_weight=1.0),
        ),
    )


def _two_stage_train_cfg() -> dict:
    return dict(
        rpn=dict(
            assigner=_assigner_cfg(0.7, 0.3, True),
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False),
            allowed_border=-1,
            pos_weight=-1,
            debug=False,
        ),
        rpn_proposal=dict(nms_pre=200, max_per_img=100, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
        rcnn=dict(
            assigner=_assigner_cfg(0.5, 0.5, False),
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    )


def tiny_faster_rcnn_cfg(num_classes: int = 3) -> ConfigDict:
    """Config of a Faster R-CNN with a thin ResNet-18-FPN and 50 proposals.

    Args:
        num_classes: Foreground classes.
    """
    cfg = dict(
        type='FasterRCNN',
        data_preprocessor=_preprocessor_cfg(),
        backbone=_backbone_cfg(),
        neck=dict(type='FPN', in_channels=[8, 16, 32, 64], out_channels=16, num_outs=5),
        rpn_head=_rpn_head_cfg(),
        roi_head=_roi_head_cfg(num_classes),
        train_cfg=_two_stage_train_cfg(),
        test_cfg=dict(
            rpn=dict(nms_pre=100, max_per_img=50, nms=dict(type='nms', iou_threshold=0.7), min_bbox_size=0),
            rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100),
        ),
    )
    return ConfigDict(cfg)


def tiny_mask_rcnn_cfg(num_classes: int = 3) -> ConfigDict:
    """Config of the ``tiny_faster_rcnn_cfg`` with a mask head whose masks are 28 px wide.

    Args:
        num_classes: Foreground classes.
    """
    cfg = tiny_faster_rcnn_cfg(num_classes)
    cfg.type = 'MaskRCNN'
    cfg.roi_head.mask_roi_extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
        out_channels=16,
        featmap_strides=[4, 8, 16, 32],
    )
    cfg.roi_head.mask_head = dict(
        type='FCNMaskHead',
        num_convs=1,
        in_channels=16,
        conv_out_channels=16,
        num_classes=num_classes,
        loss_mask=dict(type='CrossEntropyLoss', use_mask=True, loss_weight=1.0),
    )
    cfg.train_cfg.rcnn.mask_size = 28
    cfg.test_cfg.rcnn.mask_thr_binary = 0.5
    return cfg


def _dense_test_cfg() -> dict:
    return dict(nms_pre=200, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)


def tiny_retinanet_cfg(num_classes: int = 3) -> ConfigDict:
    """Config of a RetinaNet with a thin ResNet-18-FPN.

    Args:
        num_classes: Foreground classes.
    """
    anchors = dict(
        type='AnchorGenerator',
        octave_base_scale=4,
        scales_per_octave=3,
        ratios=[0.5, 1.0, 2.0],
        strides=[8, 16, 32, 64, 128],
    )
    head = dict(
        type='RetinaHead',
        num_classes=num_classes,
        in_channels=16,
        stacked_convs=1,
        feat_channels=16,
        anchor_generator=anchors,
        bbox_coder=_coder_cfg((1.0, 1.0, 1.0, 1.0)),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=1.0),
    )
    train_cfg = dict(
        assigner=_assigner_cfg(0.5, 0.4, True),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    )
    return _single_stage_cfg('RetinaNet', head, train_cfg)


def tiny_fcos_cfg(num_classes: int = 3) -> ConfigDict:
    """Config of an FCOS, which has no anchors, with a thin ResNet-18-FPN.

    Args:
        num_classes: Foreground classes.
    """
    head = dict(
        type='FCOSHead',
        num_classes=num_classes,
        in_channels=16,
        stacked_convs=1,
        feat_channels=16,
        strides=[8, 16, 32, 64, 128],
        norm_cfg=dict(type='GN', num_groups=4, requires_grad=True),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='IoULoss', loss_weight=1.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    )
    return _single_stage_cfg('FCOS', head, None)


def _single_stage_cfg(kind: str, head: dict, train_cfg: dict | None) -> ConfigDict:
    cfg = dict(
        type=kind,
        data_preprocessor=_preprocessor_cfg(),
        backbone=_backbone_cfg(),
        neck=dict(
            type='FPN',
            in_channels=[8, 16, 32, 64],
            out_channels=16,
            start_level=1,
            add_extra_convs='on_output',
            num_outs=5,
        ),
        bbox_head=head,
        train_cfg=train_cfg,
        test_cfg=_dense_test_cfg(),
    )
    return ConfigDict(cfg)


def build_tiny_detector(cfg: dict, seed: int = 0, spread: float = 30.0) -> nn.Module:
    """Build a detector whose random weights give scores and boxes that differ, in evaluation mode.

    Args:
        cfg: Config of the detector; it is not changed.
        seed: Seed of the weights. The global random state is left as it was.
        spread: Factor on the weights of the layers that predict scores and boxes.
    """
    from mmdet.registry import MODELS
    from mmdet.utils import register_all_modules

    register_all_modules()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS.build(copy.deepcopy(ConfigDict(cfg)))
    with torch.no_grad():
        for name, layer in model.named_modules():
            if name.rsplit('.', 1)[-1] in _PREDICTION_LAYERS and hasattr(layer, 'weight'):
                # Boxes that move too far degenerate; half the spread keeps them apart and sound.
                layer.weight.mul_(spread if 'cls' in name.rsplit('.', 1)[-1] else 1.0)
    return model.eval()
