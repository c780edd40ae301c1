# A schedule for the scenes on a CPU: the paper's, shortened. Warm-up over the first epoch, learning rate divided by 10 for
# the last quarter.
max_epochs = 8

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=max_epochs, milestones=[6], gamma=0.1),
]

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=0.0001),
    clip_grad=dict(max_norm=10, norm_type=2),
)
auto_scale_lr = dict(enable=False, base_batch_size=8)

# Random weights: the statistics of batch norm are learned first, then fixed (see NormEvalHook). Until then they would differ
# between processes.
custom_hooks = [dict(type='NormEvalHook', begin=3), dict(type='SyncBuffersHook')]
