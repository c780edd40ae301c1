# A small ScaleNet from random weights, on a CPU: a higher rate than the paper's 1e-4, which pretrained weights need.
max_epochs = 16

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.01, begin=0, end=1, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR', begin=1, end=max_epochs, T_max=max_epochs - 1, eta_min=0, convert_to_iter_based=True
    ),
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=2e-3))
auto_scale_lr = dict(enable=False, base_batch_size=8)

# The statistics of batch norm differ between processes.
custom_hooks = [dict(type='SyncBuffersHook')]
