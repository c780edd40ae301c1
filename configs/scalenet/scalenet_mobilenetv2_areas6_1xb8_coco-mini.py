# Six classes of mask area on a few real COCO images, half the paper's sizes, on a CPU; from ImageNet weights below the folder that
# MMISN_DATA names.
_base_ = [
    '../_base_/models/scalenet_mobilenetv2.py',
    '../_base_/datasets/scalenet_coco-mini.py',
    '../_base_/schedules/schedule_scalenet_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = dict(
    data_preprocessor=dict(mean=[127.5] * 3, std=[127.5] * 3),
    backbone=dict(
        norm_eval=True,
        init_cfg=dict(type='Pretrained', checkpoint='{{$MMISN_DATA:data}}/weights/mobilenet_v2_imagenet.pth'),
    ),
    head=_base_.scale_heads_half['areas6'],
    view_size=_base_.view_size,
)
# Pretrained weights want a lower rate than random ones.
optim_wrapper = dict(optimizer=dict(lr=5e-4))
val_evaluator = dict(rule=_base_.scale_rules['areas6'])
test_evaluator = val_evaluator
visualizer = dict(type='ScaleMapVisualizer')
