# Table 9: the light keypoint head with multi-scale training; `mim test` tests at one size, `mim test --tta` at nine.
_base_ = [
    '../_base_/models/offset-keypoint-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco-person_multi-scale.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/multi-scale.py',
    '../_base_/runtime_keypoint.py',
]
