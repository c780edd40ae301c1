"""Tiny ScaleNets and data for them."""

import numpy as np
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

HEADS = dict(
    classes=dict(type='ScaleClassHead', bounds=(4, 16), measure='sqrt_box'),
    regression=dict(type='ScaleRegressionHead', unit=8.0, measure='sqrt_box'),
)


def small_net(head='classes', seed=0, **changes):
    """A ScaleNet of MobileNetV2 with 0.1 of the width; ``changes`` override its arguments."""
    torch.manual_seed(seed)
    cfg = dict(
        type='ScaleNet',
        data_preprocessor=dict(type='DetDataPreprocessor', mean=[10, 20, 30], std=[50, 60, 70], bgr_to_rgb=True),
        backbone=dict(type='MobileNetV2', widen_factor=0.1, out_indices=(0, 1, 2)),
        decoder=dict(type='UNetDecoder', in_channels=(8, 8, 8), channels=(8, 8)),
        head=head if isinstance(head, dict) else HEADS[head],
    )
    return MODELS.build({**cfg, **changes})


def picture(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def inputs_of(*images):
    return [torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1))) for image in images]


def sample_of(size_hw, boxes=(), ignored=()):
    sample = DetDataSample(metainfo=dict(img_shape=size_hw, ori_shape=size_hw, img_path='a.jpg', img_id=0))
    for key, b in (('gt_instances', boxes), ('ignored_instances', ignored)):
        setattr(sample, key, InstanceData(bboxes=torch.tensor(np.reshape(b, (-1, 4)), dtype=torch.float32)))
    return sample
