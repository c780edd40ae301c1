"""A training step of representative configs."""

import pytest
import torch
from config_files import load, tokens
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData


def samples_with_ignored_objects(num_classes):
    """Two views: one with a valid object and an ignored one, one with an ignored object only."""
    samples = []
    for valid in (True, False):
        sample = DetDataSample(
            metainfo=dict(img_shape=(96, 128), ori_shape=(96, 128), scale_factor=(1.0, 1.0), scale_range=(16.0, 560.0))
        )
        boxes = torch.tensor([[20.0, 10, 70, 60]])[: int(valid)]
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.full((len(boxes),), num_classes - 1))
        sample.ignored_instances = InstanceData(bboxes=torch.tensor([[80.0, 50, 88, 62]]), labels=torch.tensor([0]))
        samples.append(sample)
    return samples


def model_and_views(file):
    torch.manual_seed(0)
    model = MODELS.build(load(file).model).train()
    num_classes = 7 if tokens(file)['data'] == 'scenes' else 80
    images = [torch.randint(0, 256, (3, 96, 128), dtype=torch.uint8) for _ in range(2)]
    data = model.data_preprocessor(dict(inputs=images, data_samples=samples_with_ignored_objects(num_classes)), True)
    return model, data['inputs'], data['data_samples']


SMALL_ISN = [
    'isn/isn-faster-rcnn_r18_dc5_8xb4-18e_coco.py',
    'isn/isn-faster-rcnn_mobilenetv2_fpn-dcn_8xb4-18e_coco.py',
    'isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py',
    'isn/isn-retinanet_r50_fpn_8xb4-18e_coco.py',
]


@pytest.mark.parametrize('file', SMALL_ISN)
def test_one_training_step(file):
    model, images, samples = model_and_views(file)
    total, log = model.parse_losses(model.loss(images, samples))
    total.backward()
    log = {k: float(v) for k, v in log.items()}
    assert {k: v for k, v in log.items() if not 0 <= v < float('inf')} == {}
    assert log['loss_cls'] > 0 and log['loss_bbox'] > 0 and log['loss'] > log['loss_cls']
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    # mmdet's MobileNetV2 ends with a convolution that no FPN reads, hence find_unused_parameters in runtime.py.
    assert [n for n in without if not n.startswith('backbone.conv2.')] == []
    assert not without or load(file).find_unused_parameters
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize('file, head', [(SMALL_ISN[2], 'rpn_head'), (SMALL_ISN[3], 'bbox_head')])
def test_mixed_precision(file, head):
    """Heads and assigner in bfloat16: the losses change by as much as its 8 bits do, no more.

    MMEngine's ``--amp`` needs a GPU, and mmcv's NMS and RoIAlign on the CPU take no half precision.
    """
    model, images, samples = model_and_views(file)
    head = getattr(model, head)
    if head is getattr(model, 'rpn_head', None):
        for sample in samples:
            sample.gt_instances.labels.zero_()
    features = [feature.detach() for feature in model.extract_feat(images)]
    losses = []
    for enabled in (False, True):
        torch.manual_seed(0)  # the RPN's samples
        with torch.autocast('cpu', torch.bfloat16, enabled=enabled):
            total, log = model.parse_losses(head.loss(features, samples))
        model.zero_grad()
        total.backward()
        assert all(p.grad.isfinite().all() for p in head.parameters())
        losses.append({k: float(v) for k, v in log.items()})
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
    assert losses[1] != losses[0]
