# The small profile of Table 6's multi-scale baseline.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/scenes_multi-scale.py',
    '../_base_/schedules/schedule_scenes_multi-scale.py',
    '../_base_/tta/multi-scale_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.networks['r18-fpn-small']
auto_scale_lr = dict(base_batch_size=4)
