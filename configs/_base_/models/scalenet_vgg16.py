# ScaleNet of the paper: a U-Net on VGG-16, at the image's full resolution. The decoder's widths are ours.
_base_ = './scalenet_heads.py'

model = dict(
    type='ScaleNet',
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True
    ),
    backbone=dict(type='PlainVGG', depth=16, init_cfg=dict(type='Pretrained', checkpoint='torchvision://vgg16')),
    decoder=dict(type='UNetDecoder', in_channels=(64, 128, 256, 512, 512), channels=(256, 128, 64, 64)),
)
