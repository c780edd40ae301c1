# Table 4: the single-scale baseline, trained and tested at (800, 1333).
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco_single-scale.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/runtime.py',
]
