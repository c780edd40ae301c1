# Table 8: Mask R-CNN with multi-scale training and testing.
_base_ = [
    '../_base_/models/mask-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco-instance_multi-scale.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/multi-scale.py',
    '../_base_/runtime.py',
]
