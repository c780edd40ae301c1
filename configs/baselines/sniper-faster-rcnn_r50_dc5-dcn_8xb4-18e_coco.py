# Table 3: SNIPER, ResNet-50 without FPN, deformable.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r50_fpn.py',
    '../_base_/models/networks_snip.py',
    '../_base_/datasets/coco_chips512.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/sniper.py',
    '../_base_/runtime.py',
]
model = _base_.networks['r50-dc5-dcn']
