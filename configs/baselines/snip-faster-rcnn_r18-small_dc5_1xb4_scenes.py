# The small profile of Table 3's SNIP: as many pixels per epoch as ISN, in batches of one size each.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes_snip.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/snip_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.small_networks['r18-dc5']
auto_scale_lr = dict(base_batch_size=4)
