# The small profile of Table 3's SNIP. Its pictures are larger on average (201 against 137 thousand pixels), so it trains for 5
# epochs where the single-scale baseline trains for 8.
_base_ = [
    '../_base_/models/isn-faster-rcnn_r18-small_fpn.py',
    '../_base_/datasets/scenes_snip.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/snip_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.small_networks['r18-dc5']
train_cfg = dict(max_epochs=5)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=5, milestones=[4])]
custom_hooks = [dict(type='NormEvalHook', begin=2), dict(type='SyncBuffersHook')]
auto_scale_lr = dict(base_batch_size=4)
