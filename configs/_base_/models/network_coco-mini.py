# MobileNetV2-FPN for real pictures on a CPU, as a change to Faster R-CNN with ResNet-50-FPN: all sizes times 0.5, an FPN of 64
# channels, a box head of 256 and 128. It starts from ImageNet weights below the folder that MMISN_DATA names.
network = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        _delete_=True,
        type='MobileNetV2',
        out_indices=(1, 2, 4, 6),
        frozen_stages=0,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMISN_DATA:data}}/weights/mobilenet_v2_imagenet.pth'),
    ),
    neck=dict(in_channels=[24, 32, 96, 320], out_channels=64),
    rpn_head=dict(in_channels=64, feat_channels=64, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=64, finest_scale=28),
        bbox_head=dict(type='TwoWidthBBoxHead', fc_out_channels=(256, 128), in_channels=64, num_classes=1),
    ),
    train_cfg=dict(
        rpn_proposal=dict(nms_pre=300, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=300, max_per_img=300)),
)
