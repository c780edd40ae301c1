# The small profile of Table 3's SNIPER, without negative chips (see scenes_chips210.py).
_base_ = [
    '../_base_/models/isn-faster-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes_chips210.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/sniper_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.small_networks['r18-dc5']
