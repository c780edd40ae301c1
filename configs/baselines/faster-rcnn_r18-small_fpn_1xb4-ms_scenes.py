# The small profile of Table 6's multi-scale baseline. Its pictures are smaller on average (107 against 137 thousand pixels),
# so it trains for 10 epochs where the others train for 8.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/scenes_multi-scale.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/multi-scale_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.networks['r18-fpn-small']
train_cfg = dict(max_epochs=10)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=10, milestones=[8], gamma=0.1),
]
custom_hooks = [dict(type='NormEvalHook', begin=4), dict(type='SyncBuffersHook')]
auto_scale_lr = dict(base_batch_size=4)
