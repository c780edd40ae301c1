# The small profile of Mask R-CNN: see 'r18-fpn-small' in networks.py.
_base_ = ['./mask-rcnn_r50_fpn.py', './networks.py', './networks_small.py']

model = _base_.networks['r18-fpn-small']
model['roi_head'].update(
    mask_roi_extractor=dict(out_channels=48, finest_scale=22),
    mask_head=dict(in_channels=48, conv_out_channels=48, num_classes=7),
)
