# The small profile of Table 9's multi-scale baseline: synthetic scenes of persons, on a CPU (see README.md).
_base_ = [
    '../_base_/models/offset-keypoint-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes-person_multi-scale.py',
    '../_base_/schedules/schedule_scenes_multi-scale.py',
    '../_base_/tta/multi-scale_scenes.py',
    '../_base_/runtime_scenes_keypoint.py',
]
auto_scale_lr = dict(base_batch_size=4)
