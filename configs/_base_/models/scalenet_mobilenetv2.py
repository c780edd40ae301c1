# A ScaleNet that is fast beside a detector: MobileNetV2, decoded to half the image's resolution, the rest interpolated.
_base_ = './scalenet_heads.py'

model = dict(
    type='ScaleNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(
        type='MobileNetV2',
        out_indices=(0, 1, 2, 4, 6),
        init_cfg=dict(type='Pretrained', checkpoint='open-mmlab://mmdet/mobilenet_v2'),
    ),
    decoder=dict(type='UNetDecoder', in_channels=(16, 24, 32, 96, 320), channels=(128, 64, 32, 32)),
)
