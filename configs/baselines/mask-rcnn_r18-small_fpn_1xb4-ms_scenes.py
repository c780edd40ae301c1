# The small profile of Table 8's multi-scale baseline: synthetic scenes of 256x192 px, on a CPU (see README.md).
_base_ = [
    '../_base_/models/mask-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes-instance_multi-scale.py',
    '../_base_/schedules/schedule_scenes_multi-scale.py',
    '../_base_/tta/multi-scale_scenes.py',
    '../_base_/runtime_scenes.py',
]
auto_scale_lr = dict(base_batch_size=4)
