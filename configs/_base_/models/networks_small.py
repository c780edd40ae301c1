# The networks of the small profile, as changes to its ResNet-18-FPN ('r18-fpn-small' of networks.py): ResNets of a quarter of the
# width, MobileNetV2 of 0.35 of it, with which a training step takes about as long as ResNet-18's.
# `model = _base_.small_networks['r50-fpn']` in a child of a config that has that network.


def _resnet(depth, dcn=False):
    channels = [16, 32, 64, 128] if depth == 18 else [64, 128, 256, 512]
    deformable = dict(
        dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False), stage_with_dcn=(False, True, True, True)
    )
    return dict(
        backbone=dict(depth=depth, **deformable if dcn else {}),
        neck=dict(in_channels=channels),
        roi_head=dict(bbox_head=dict(fc_out_channels=(128, 64) if depth == 18 else (256, 256))),
    )


def _mobilenet(dcn=False):
    return dict(
        backbone=dict(
            _delete_=True,
            type='DeformMobileNetV2',
            widen_factor=0.35,
            dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False) if dcn else None,
            out_indices=(1, 2, 4, 6),
            norm_cfg=dict(type='BN', requires_grad=True),
        ),
        neck=dict(in_channels=[8, 16, 32, 112]),
    )


def _dc5(network, **backbone):
    # As in networks.py: c5 of stride 16, anchors for objects of 0.4 times the size.
    channels = network['neck']['in_channels'][-1]
    return dict(
        backbone=dict(network['backbone'], **backbone),
        neck=None,
        rpn_head=dict(
            in_channels=channels,
            feat_channels=channels,
            anchor_generator=dict(
                _delete_=True,
                type='AnchorGenerator',
                scales=[0.8, 1.6, 3.2, 6.4, 12.8],
                ratios=[0.5, 1.0, 2.0],
                strides=[16],
            ),
        ),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=channels, featmap_strides=[16]),
            bbox_head=dict(network.get('roi_head', {}).get('bbox_head', {}), in_channels=channels),
        ),
        # All proposals are of one level.
        train_cfg=dict(rpn_proposal=dict(nms_pre=1000)),
        test_cfg=dict(rpn=dict(nms_pre=1000)),
    )


def _resnet_dc5(depth, dcn=False):
    return _dc5(_resnet(depth, dcn), strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(3,))


small_networks = {
    'r18-dc5': _resnet_dc5(18),
    'r50-fpn': _resnet(50),
    'r50-fpn-dcn': _resnet(50, dcn=True),
    'r50-dc5': _resnet_dc5(50),
    'r50-dc5-dcn': _resnet_dc5(50, dcn=True),
    'r101-fpn-dcn': _resnet(101, dcn=True),
    'r101-dc5-dcn': _resnet_dc5(101, dcn=True),
    'mobilenetv2-fpn': _mobilenet(),
    'mobilenetv2-fpn-dcn': _mobilenet(dcn=True),
    'mobilenetv2-dc5': _dc5(_mobilenet(), output_stride=16, out_indices=(6,)),
}
