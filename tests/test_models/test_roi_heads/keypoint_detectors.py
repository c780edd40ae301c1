"""Small detectors with keypoint heads, and samples with keypoints."""

import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData

from mmisn.testing.detectors import tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

HEADS = {
    'offset': dict(type='OffsetKeypointHead', num_convs=2, in_channels=16, conv_out_channels=32),
    'one-hot': dict(type='KeypointRCNNHead', num_convs=2, in_channels=16, conv_out_channels=32),
}
OUTPUT_SIZES = {'offset': (22, 16), 'one-hot': 14}


def keypoint_cfg(kind, num_keypoints=3, masks=False, num_classes=1, **changes):
    """Config of a tiny detector with box, mask (if wanted) and keypoint head."""
    cfg = (tiny_mask_rcnn_cfg if masks else tiny_faster_rcnn_cfg)(num_classes)
    cfg.roi_head.type = 'KeypointRoIHead'
    cfg.roi_head.keypoint_roi_extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=OUTPUT_SIZES[kind], sampling_ratio=0),
        out_channels=16,
        featmap_strides=[4, 8, 16, 32],
    )
    cfg.roi_head.keypoint_head = dict(HEADS[kind], num_keypoints=num_keypoints, **changes)
    return cfg


def sample(boxes, keypoints, visible, size_hw=(128, 128), scale_factor=(1.0, 1.0), ignored=((), (), ())):
    """A data sample of objects with boxes (N, 4), keypoints (N, K, 2), visibility (N, K) and masks of their boxes."""
    ori_shape = tuple(round(s / f) for s, f in zip(size_hw, scale_factor[::-1]))
    data_sample = DetDataSample(
        metainfo=dict(
            img_shape=size_hw,
            ori_shape=ori_shape,
            pad_shape=size_hw,
            batch_input_shape=size_hw,
            scale_factor=scale_factor,
        )
    )
    data_sample.gt_instances = instances(boxes, keypoints, visible)
    masks = np.zeros((len(boxes), *size_hw), np.uint8)
    for mask, (x1, y1, x2, y2) in zip(masks, boxes):
        mask[int(y1) : int(y2), int(x1) : int(x2)] = 1
    data_sample.gt_instances.masks = BitmapMasks(masks, *size_hw)
    data_sample.ignored_instances = instances(*ignored)
    return data_sample


def instances(boxes, keypoints, visible, num_keypoints=3):
    num = len(boxes)
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(num, 4),
        labels=torch.zeros(num, dtype=torch.long),
        keypoints=torch.tensor(keypoints, dtype=torch.float32).reshape(num, num_keypoints, 2),
        keypoints_visible=torch.tensor(visible, dtype=torch.uint8).reshape(num, num_keypoints),
    )
