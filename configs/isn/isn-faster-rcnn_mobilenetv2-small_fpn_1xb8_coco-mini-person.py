# ISN on the persons of a few real COCO images, half the paper's sizes, on a CPU: MobileNetV2 from ImageNet weights.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r50_fpn.py',
    '../_base_/models/network_coco-mini.py',
    '../_base_/datasets/coco-mini-person_chips288.py',
    '../_base_/schedules/schedule_coco-mini.py',
    '../_base_/tta/pyramid_coco-mini.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.network
auto_scale_lr = dict(base_batch_size=8)
