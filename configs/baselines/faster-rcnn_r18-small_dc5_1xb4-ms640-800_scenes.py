# The small profile of Table 2: the short side drawn from [640, 800] px times 0.4. Its pictures have 111 thousand pixels on
# average (single-scale: 137), so it trains for 10 epochs where the single-scale baseline trains for 8.
_base_ = './faster-rcnn_r18-small_dc5_1xb4_scenes.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(
        type='RandomChoiceResize',
        scales=[(533, round(0.4 * short)) for short in range(640, 801, 32)],
        keep_ratio=True,
    ),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
train_cfg = dict(max_epochs=10)
param_scheduler = [_base_.param_scheduler[0], dict(_base_.param_scheduler[1], end=10, milestones=[8])]
custom_hooks = [dict(type='NormEvalHook', begin=4), dict(type='SyncBuffersHook')]
