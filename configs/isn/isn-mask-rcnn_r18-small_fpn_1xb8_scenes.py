# The small profile of Table 8's ISN: synthetic scenes of 256x192 px, on a CPU (see README.md).
_base_ = [
    '../_base_/models/isn-mask-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes-instance_chips232.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/pyramid_scenes.py',
    '../_base_/runtime_scenes.py',
]
