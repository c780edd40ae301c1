# The small profile of Table 9's ISN: synthetic scenes of persons, on a CPU (see README.md).
_base_ = [
    '../_base_/models/isn-offset-keypoint-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes-person_chips232.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/pyramid_scenes.py',
    '../_base_/runtime_scenes_keypoint.py',
]
