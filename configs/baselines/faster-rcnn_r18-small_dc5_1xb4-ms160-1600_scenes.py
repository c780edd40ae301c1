# The small profile of Table 2: the short side drawn from [160, 1600] px times 0.4. Its pictures have 204 thousand pixels on
# average (single-scale: 137), so it trains for 5 epochs where the single-scale baseline trains for 8.
_base_ = './faster-rcnn_r18-small_dc5_1xb4_scenes.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(
        type='RandomChoiceResize',
        scales=[(1067, round(0.4 * short)) for short in range(160, 1601, 32)],
        keep_ratio=True,
    ),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=5)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=5, milestones=[4])]
custom_hooks = [dict(type='NormEvalHook', begin=2), dict(type='SyncBuffersHook')]
