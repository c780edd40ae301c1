# The networks of SNIP and SNIPER, without FPN (Tables 3 and 4), added to those of networks.py.
_base_ = './networks.py'


def _deformable(network, **backbone):
    dcn = dict(dcn=_base_._dcn, stage_with_dcn=(False, True, True, True))
    return dict(network, backbone=dict(network['backbone'], **dcn, **backbone))


networks = {
    'r50-dc5-dcn': _deformable(_base_.networks['r50-dc5']),
    'r101-dc5-dcn': _deformable(_base_.networks['r50-dc5'], **_base_._r101),
    # c5 of stride 16, the feature that an FPN would read.
    'mobilenetv2-dc5': dict(
        _base_.networks['r50-dc5'],
        backbone=dict(_base_._mobilenet, type='DeformMobileNetV2', output_stride=16, out_indices=(6,)),
        rpn_head=dict(_base_.networks['r50-dc5']['rpn_head'], in_channels=320, feat_channels=320),
        roi_head=dict(
            bbox_roi_extractor=dict(out_channels=320, featmap_strides=[16]),
            bbox_head=dict(_base_._small_head, in_channels=320),
        ),
    ),
}
