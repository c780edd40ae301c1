# The networks of the paper's tables, as changes to Faster R-CNN with ResNet-50-FPN: `model = _base_.networks['r18-fpn']`.

# Section 4.1: two fully connected layers of 512 and 256 in place of 1024 for the small backbones.
_small_head = dict(type='TwoWidthBBoxHead', fc_out_channels=(512, 256))
# Deformable convolution (v1) in conv3 to conv5.
_dcn = dict(type='DCN', deform_groups=1, fallback_on_stride=False)

_r18 = dict(depth=18, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet18'))
_r101 = dict(depth=101, init_cfg=dict(type='Pretrained', checkpoint='torchvision://resnet101'))
_mobilenet = dict(
    _delete_=True,
    type='MobileNetV2',
    out_indices=(1, 2, 4, 6),
    frozen_stages=0,
    norm_cfg=dict(type='BN', requires_grad=True),
    norm_eval=True,
    # torchvision's own weights have other names, of which nothing would be loaded.
    init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'),
)


def _dc5(channels):
    # Without FPN the paper does not say which feature the heads read. Ours is conv5, dilated so that its stride stays 16
    # (DC5): its two-layer box head rules out the C4 design, whose conv5 is part of the head.
    return dict(
        backbone=dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(3,)),
        neck=None,
        rpn_head=dict(
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                _delete_=True,
                type='AnchorGenerator',
                scales=[2, 4, 8, 16, 32],
                ratios=[0.5, 1.0, 2.0],
                strides=[16],
            ),
        ),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=channels, featmap_strides=[16]),
            bbox_head=dict(in_channels=channels),
        ),
        train_cfg=dict(rpn_proposal=dict(nms_pre=12000, max_per_img=2000)),
        test_cfg=dict(rpn=dict(nms_pre=6000, max_per_img=1000)),
    )


_r18_dc5 = _dc5(512)
_r18_dc5['backbone'].update(_r18)
_r18_dc5['roi_head']['bbox_head'].update(_small_head)

# ResNet-18-FPN for pictures of 256 px on a CPU: a quarter of the width, anchors for objects of 0.4 times the size, a box head
# of 128 and 64. It starts from random weights, so nothing is frozen, and batch norm is trained until NormEvalHook fixes its
# statistics. Pictures are padded to nothing but the largest of the batch.
_r18_small = dict(
    data_preprocessor=dict(pad_size_divisor=1),
    backbone=dict(
        depth=18,
        stem_channels=16,
        base_channels=16,
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=48),
    rpn_head=dict(in_channels=48, feat_channels=48, anchor_generator=dict(scales=[3.2])),
    roi_head=dict(
        # FPN's rule sends a RoI of 56 px and more to the second level; 0.4 times as much here.
        bbox_roi_extractor=dict(out_channels=48, finest_scale=22),
        bbox_head=dict(type='TwoWidthBBoxHead', fc_out_channels=(128, 64), in_channels=48, num_classes=7),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)

networks = {
    'r18-fpn-small': _r18_small,
    'r50-dc5': _dc5(2048),
    'r50-fpn-dcn': dict(backbone=dict(dcn=_dcn, stage_with_dcn=(False, True, True, True))),
    'r101-fpn': dict(backbone=_r101),
    'r101-fpn-dcn': dict(backbone=dict(dcn=_dcn, stage_with_dcn=(False, True, True, True), **_r101)),
    'r18-dc5': _r18_dc5,
    'r18-fpn': dict(
        backbone=_r18,
        neck=dict(in_channels=[64, 128, 256, 512]),
        roi_head=dict(bbox_head=_small_head),
    ),
    'mobilenetv2-fpn': dict(
        backbone=_mobilenet,
        neck=dict(in_channels=[24, 32, 96, 320]),
        roi_head=dict(bbox_head=_small_head),
    ),
    'mobilenetv2-fpn-dcn': dict(
        backbone=dict(_mobilenet, type='DeformMobileNetV2', dcn=_dcn),
        neck=dict(in_channels=[24, 32, 96, 320]),
        roi_head=dict(bbox_head=_small_head),
    ),
}
