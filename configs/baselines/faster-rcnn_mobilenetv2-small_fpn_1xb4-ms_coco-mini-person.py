# Multi-scale baseline on the persons of a few real COCO images, half the paper's sizes, on a CPU.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/network_coco-mini.py',
    '../_base_/datasets/coco-mini-person_multi-scale.py',
    '../_base_/schedules/schedule_coco-mini.py',
    '../_base_/tta/multi-scale_coco-mini.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.network
