"""A training step of representative configs."""

import pytest
import torch
from config_files import FILES, SSDLITE, load
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.optim import build_optim_wrapper
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
    num_classes = 7 if file.endswith('scenes.py') else 80
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


# Masks have a test of their own: test_config_masks_keypoints.py.
SCENES = [f for f in FILES + SSDLITE if f.endswith('_scenes.py') and f not in SMALL_ISN and 'mask-rcnn' not in f]


@pytest.mark.parametrize('file', SCENES)
def test_two_iterations(file):
    """Each config of the small profile, at a tenth of its learning rate, as in warm-up: the loss on one batch falls."""
    model, images, samples = model_and_views(file)
    model.init_weights()
    optimizer = build_optim_wrapper(model, load(file).optim_wrapper)
    for group in optimizer.param_groups:
        group['lr'] *= 0.1
    losses, unread = [], set()
    for _ in range(2):
        losses.append(loss_of(model, images, samples))
        optimizer.backward(losses[-1])
        unread |= {n for n, p in model.named_parameters() if p.requires_grad and p.grad is None}
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        losses.append(loss_of(model, images, samples))
    assert float(losses[2]) < float(losses[0])
    # No FPN reads the last convolution of MobileNetV2, hence find_unused_parameters.
    assert unread <= {f'backbone.conv2.{n}' for n in ('conv.weight', 'bn.weight', 'bn.bias')}
    assert not unread or load(file).find_unused_parameters


def loss_of(model, images, samples):
    torch.manual_seed(0)  # the same anchors and proposals are drawn
    total, log = model.parse_losses(model.loss(images, samples))
    assert all(value.isfinite() for value in log.values())
    return total


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
