"""An image, its views, and how both models look at them."""

import copy

import cv2
import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.hub import get_config

from mmisn.models.detectors import ChipDetector
from mmisn.models.test_time_augs import ScaleRangeTTAModel
from mmisn.structures import Chip
from mmisn.testing.detectors import tiny_mask_rcnn_cfg

IMAGE_WH = (128, 96)
SHAPE = IMAGE_WH[::-1]


class FixedChips:
    def __init__(self, *chips):
        self.chips = chips

    def views(self, image_wh, predict=None):
        return list(self.chips)


def whole(factor=1.0, flip=False):
    return Chip.full(IMAGE_WH, tuple(round(s * factor) for s in IMAGE_WH), flip)


CHIPS = (
    whole(2),
    whole(2, flip=True),
    whole(),
    Chip((20, 8, 116, 80), (192, 144), flip=True),
    whole(0.5),
)


def data_of(image):
    meta = dict(img_id=0, ori_shape=image.shape[:2], img_shape=image.shape[:2], scale_factor=(1.0, 1.0))
    inputs = torch.from_numpy(image.transpose(2, 0, 1).copy())
    return dict(inputs=[inputs], data_samples=[DetDataSample(metainfo=meta)])


def views_of(image, chips):
    inputs, samples = [], []
    for chip in chips:
        x1, y1, x2, y2 = chip.xyxy
        view = cv2.resize(np.ascontiguousarray(image[y1:y2, x1:x2]), chip.size_wh, interpolation=cv2.INTER_LINEAR)
        view = cv2.flip(view, 1) if chip.flip else view
        data = data_of(view)
        direction = 'horizontal' if chip.flip else None
        shown = dict(ori_shape=SHAPE, scale_factor=chip.factors, flip=chip.flip, flip_direction=direction, chip=chip)
        data['data_samples'][0].set_metainfo(shown)
        inputs.append(data['inputs'])
        samples.append(data['data_samples'])
    return dict(inputs=inputs, data_samples=samples)


def run(model, data):
    with torch.no_grad():
        return model.test_step(data)[0].pred_instances


def run_both(detector, image, *chips, **kwargs):
    """Results of ``ChipDetector`` and of ``ScaleRangeTTAModel`` on the same views."""
    chip_detector = ChipDetector(detector, FixedChips(*chips), **kwargs).eval()
    first = run(chip_detector, data_of(image))
    tta = ScaleRangeTTAModel(detector, **kwargs)
    return first, run(tta, views_of(image, chips))


def cascade_cfg():
    """A Cascade Mask R-CNN of two stages from the parts of the tiny Mask R-CNN."""
    cfg = tiny_mask_rcnn_cfg()
    cfg.type = 'CascadeRCNN'
    head = cfg.roi_head
    head.update(type='CascadeRoIHead', num_stages=2, stage_loss_weights=[1, 0.5])
    head.bbox_head = [copy.deepcopy(head.bbox_head) for _ in range(2)]
    for stage in head.bbox_head:
        stage.reg_class_agnostic = True
    head.mask_head = [copy.deepcopy(head.mask_head) for _ in range(2)]
    cfg.train_cfg.rcnn = [copy.deepcopy(cfg.train_cfg.rcnn) for _ in range(2)]
    return cfg


def shipped_fpn_cfg():
    """The Mask R-CNN that mmdet ships, around a thin ResNet-18, with fewer classes and proposals."""
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model
    cfg.backbone.update(depth=18, base_channels=8, init_cfg=None)
    cfg.neck.in_channels = [8, 16, 32, 64]
    return _with_fewer(cfg)


def shipped_c4_cfg():
    """The one without FPN, whose box and mask head share a stage of the ResNet; all of a ResNet-18."""
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50-caffe-c4_1x_coco.py').model
    cfg.backbone.update(depth=18, init_cfg=None)
    cfg.rpn_head.update(in_channels=256, feat_channels=64)
    head = cfg.roi_head
    head.shared_head.depth = 18
    head.bbox_roi_extractor.out_channels = 256
    head.bbox_head.in_channels = head.mask_head.in_channels = 512
    return _with_fewer(cfg)


def _with_fewer(cfg):
    cfg.roi_head.bbox_head.num_classes = cfg.roi_head.mask_head.num_classes = 3
    cfg.test_cfg.rpn.update(nms_pre=100, max_per_img=50)
    return cfg
