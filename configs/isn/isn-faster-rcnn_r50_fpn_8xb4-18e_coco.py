# Table 4: Faster R-CNN + ISN, ResNet-50-FPN.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco_chips576.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/pyramid.py',
    '../_base_/runtime.py',
]
