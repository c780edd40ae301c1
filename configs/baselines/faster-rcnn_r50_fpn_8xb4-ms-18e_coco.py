# Table 4: multi-scale training (7 sizes) and, with --tta, multi-scale testing (9 sizes).
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco_multi-scale.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/multi-scale.py',
    '../_base_/runtime.py',
]
