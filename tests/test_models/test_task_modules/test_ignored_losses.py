"""How ignored objects reach the losses of RPN, RetinaNet and the box head, compared with losses written out."""

import pytest
import torch
import torch.nn.functional as F
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

import mmisn  # noqa: F401

ANCHORS = dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[8])
# 16 px anchors around the points of a grid of 8 px, 4x4 of them on a view of 32x32.
CENTERS = [(8 * x, 8 * y) for y in range(4) for x in range(4)]
HW = (32, 32)


def assigner(overlap='iou', pos=0.7, neg=0.3):
    return dict(type='ScaleRangeAssigner', pos_iou_thr=pos, neg_iou_thr=neg, min_pos_iou=0.3, ignore_overlap=overlap)


def instances(boxes, labels=None):
    labels = [0] * len(boxes) if labels is None else labels
    return InstanceData(
        bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), labels=torch.tensor(labels, dtype=torch.long)
    )


def sample(valid=(), ignored=(), labels=None):
    data = DetDataSample(metainfo=dict(img_shape=HW, pad_shape=HW, scale_range=(4, 24)))
    data.gt_instances = instances(list(valid), labels)
    data.ignored_instances = instances(list(ignored))
    return data


def dense(kind, overlap='iou'):
    torch.manual_seed(0)
    is_rpn = kind == 'ScaleRangeRPNHead'
    sampler = dict(type='RandomSampler', num=256, pos_fraction=0.5, neg_pos_ub=-1, add_gt_as_proposals=False)
    focal = dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25)
    own = {} if is_rpn else dict(num_classes=2, stacked_convs=1, loss_cls=focal)
    head = MODELS.build(
        dict(
            type=kind,
            in_channels=3,
            feat_channels=4,
            anchor_generator=ANCHORS,
            bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
            loss_bbox=dict(type='L1Loss'),
            train_cfg=ConfigDict(
                assigner=assigner(overlap),
                sampler=sampler if is_rpn else dict(type='PseudoSampler'),
                allowed_border=-1,
                pos_weight=-1,
            ),
            test_cfg=ConfigDict(nms_pre=100, max_per_img=100, min_bbox_size=0, nms=dict(type='nms', iou_threshold=0.7)),
            **own,
        )
    )
    return head.train()


def logits_of(head, x):
    """(16, classes) of one image, in the order of CENTERS."""
    return head((x,))[0][0][0].permute(1, 2, 0).reshape(16, -1)


def manual_loss(kind, logits, background, positive=(), labels=()):
    """Classification loss over the given anchors alone."""
    index = list(background) + list(positive)
    target = torch.zeros(len(index), logits.shape[1])
    for row, label in enumerate(labels, start=len(background)):
        target[row, label] = 1
    bce = F.binary_cross_entropy_with_logits(logits[index], target, reduction='none')
    if kind == 'ScaleRangeRPNHead':
        # mmdet counts at least one positive, here too.
        return bce.sum() / (len(background) + max(len(labels), 1))
    p = logits[index].sigmoid()
    focal = torch.where(target > 0, 0.25 * (1 - p) ** 2, 0.75 * p**2)
    return (focal * bce).sum() / max(len(labels), 1)


def loss_cls(losses):
    return losses['loss_rpn_cls' if 'loss_rpn_cls' in losses else 'loss_cls'][0]


def loss_bbox(losses):
    return losses['loss_rpn_bbox' if 'loss_rpn_bbox' in losses else 'loss_bbox'][0]


KINDS = ['ScaleRangeRPNHead', 'ScaleRangeRetinaHead']


@pytest.mark.parametrize('kind', KINDS)
def test_anchors_on_an_ignored_object_have_no_loss_without_valid_objects(kind):
    head, x = dense(kind), torch.randn(1, 3, 4, 4)
    losses = head.loss((x,), [sample(ignored=[(0, 0, 16, 16)])])
    # IoU with the anchor around (8, 8) is 1, with its four neighbours 1/3, with the diagonal ones 1/7.
    ignored = {(8, 8), (0, 8), (16, 8), (8, 0), (8, 16)}
    background = [i for i, c in enumerate(CENTERS) if c not in ignored]
    assert len(background) == 11
    torch.testing.assert_close(loss_cls(losses), manual_loss(kind, logits_of(head, x), background))
    assert loss_bbox(losses).item() == 0
    # The same picture without the ignored object: all anchors are background.
    plain = head.loss((x,), [sample()])
    torch.testing.assert_close(loss_cls(plain), manual_loss(kind, logits_of(head, x), range(16)))
    assert loss_cls(plain).item() != loss_cls(losses).item()


@pytest.mark.parametrize('kind', KINDS)
def test_valid_object_on_an_ignored_region_keeps_its_positives(kind):
    head, x = dense(kind, overlap='iof'), torch.randn(1, 3, 4, 4)
    label = head.num_classes - 1
    # The region ends at x = 16: it covers half or more of each anchor around x <= 16, all but the last column.
    data = sample(valid=[(0, 2, 16, 18)], labels=[label], ignored=[(-8, -8, 16, 40)])
    losses = head.loss((x,), [data])
    background = [i for i, c in enumerate(CENTERS) if c[0] == 24]
    positive = [CENTERS.index((8, 8))]
    expected = manual_loss(kind, logits_of(head, x), background, positive, [label])
    torch.testing.assert_close(loss_cls(losses), expected)
    # The anchor is 2 px higher than the object: a shift by 2/16 of its side, by L1.
    delta = head((x,))[1][0][0].permute(1, 2, 0).reshape(16, 4)[positive[0]]
    shift = (delta - torch.tensor([0, 2 / 16, 0, 0])).abs().sum()
    num = len(background) + 1 if kind == 'ScaleRangeRPNHead' else 1
    torch.testing.assert_close(loss_bbox(losses), shift / num)


def test_batch_keeps_the_images_apart():
    kind = 'ScaleRangeRetinaHead'
    head, x = dense(kind), torch.randn(2, 3, 4, 4)
    both = head.loss((x,), [sample(ignored=[(0, 0, 16, 16)]), sample()])
    singles = [head.loss((x[:1],), [sample(ignored=[(0, 0, 16, 16)])]), head.loss((x[1:],), [sample()])]
    # Each image counts as one positive at least.
    torch.testing.assert_close(loss_cls(both), sum(loss_cls(s) for s in singles) / 2)


def test_proposals_in_training_are_in_range_and_losses_come_along():
    head, x = dense('ScaleRangeRPNHead'), torch.randn(1, 3, 4, 4)
    data = sample(ignored=[(0, 0, 16, 16)])
    data.set_metainfo(dict(scale_range=(10, 24)))
    losses, (proposals,) = head.loss_and_predict((x,), [data], proposal_cfg=head.test_cfg)
    assert set(losses) == {'loss_rpn_cls', 'loss_rpn_bbox'}
    scales = (proposals.bboxes[:, 2:] - proposals.bboxes[:, :2]).prod(dim=1).sqrt()
    # Of the 16 anchors the corner's clipped one (8x8) is out of range, the other edge anchors are 8x16 or 16x16.
    assert len(proposals) > 0 and scales.min() >= 10 and scales.max() <= 24


def roi_head(overlap='iou'):
    torch.manual_seed(0)
    return StandardRoIHead(
        bbox_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=2, sampling_ratio=1),
            out_channels=3,
            featmap_strides=[8],
        ),
        bbox_head=dict(type='TwoWidthBBoxHead', fc_out_channels=(6, 5), in_channels=3, roi_feat_size=2, num_classes=2),
        train_cfg=ConfigDict(
            assigner={**assigner(overlap, pos=0.5, neg=0.5), 'match_low_quality': False},
            sampler=dict(type='RandomSampler', num=64, pos_fraction=0.25, neg_pos_ub=-1, add_gt_as_proposals=True),
            pos_weight=-1,
            debug=False,
        ),
    ).train()


def box_losses(head, x, proposals, labels):
    """Cross entropy over the given proposals, written out."""
    rois = torch.cat([torch.zeros(len(proposals), 1), torch.tensor(proposals, dtype=torch.float32)], dim=1)
    scores, _ = head.bbox_head(head.bbox_roi_extractor((x,), rois))
    return F.cross_entropy(scores, torch.tensor(labels))


def proposals_of(boxes):
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4))


def test_proposals_on_an_ignored_object_have_no_loss_without_valid_objects():
    head, x = roi_head(), torch.randn(1, 3, 4, 4)
    free = [(16.0, 16.0, 32.0, 32.0), (0.0, 0.0, 4.0, 4.0)]
    on_ignored = [(0.0, 0.0, 16.0, 16.0), (0.0, 0.0, 16.0, 10.0)]
    losses = head.loss((x,), [proposals_of(free + on_ignored)], [sample(ignored=[(0, 0, 16, 16)])])
    torch.testing.assert_close(losses['loss_cls'], box_losses(head, x, free, [2, 2]))
    assert losses['loss_bbox'].item() == 0


def test_proposals_on_a_valid_object_in_an_ignored_region_stay_positive():
    head, x = roi_head('iof'), torch.randn(1, 3, 4, 4)
    valid, background = (2.0, 2.0, 12.0, 12.0), (20.0, 20.0, 30.0, 30.0)
    near, elsewhere = (2.0, 2.0, 12.0, 11.0), (4.0, 8.0, 16.0, 16.0)
    data = sample(valid=[valid], labels=[1], ignored=[(0, 0, 17, 17)])
    losses = head.loss((x,), [proposals_of([near, elsewhere, background])], [data])
    # The sampler adds the valid object itself as a proposal.
    torch.testing.assert_close(losses['loss_cls'], box_losses(head, x, [valid, near, background], [1, 1, 2]))


def test_batch_without_objects_and_proposals_can_be_trained_on():
    head, x = roi_head(), torch.randn(1, 3, 4, 4)
    losses = head.loss((x,), [proposals_of([])], [sample(ignored=[(0, 0, 16, 16)])])
    total = sum(v for k, v in losses.items() if 'loss' in k)
    assert total.item() == 0
    total.backward()
