# The small profile of the light keypoint head: see 'r18-fpn-small' in networks.py. The head has an eighth of its 256 channels,
# since it looks at more pixels than the rest of so small a network.
_base_ = ['./offset-keypoint-rcnn_r50_fpn.py', './networks.py', './networks_small.py']

model = _base_.networks['r18-fpn-small']
model['roi_head']['bbox_head'].update(num_classes=1)
model['roi_head'].update(
    keypoint_roi_extractor=dict(out_channels=48, finest_scale=22),
    keypoint_head=dict(in_channels=48, conv_out_channels=32),
)
