# Table 3: SNIP, ResNet-50 without FPN, deformable. Batches of four images of (1400, 2000) need a large GPU memory.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r50_fpn.py',
    '../_base_/models/networks_snip.py',
    '../_base_/datasets/coco_snip.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/snip.py',
    '../_base_/runtime.py',
]
model = _base_.networks['r50-dc5-dcn']
