# The small profile's ScaleNet: 0.35 of MobileNetV2's width, random weights.
_base_ = './scalenet_mobilenetv2.py'

model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(widen_factor=0.35, init_cfg=None),
    decoder=dict(in_channels=(8, 8, 16, 32, 112), channels=(64, 32, 32, 16)),
)
