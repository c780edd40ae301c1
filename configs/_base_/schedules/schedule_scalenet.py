# The paper's Adam, 1e-4, batch 16. It does not say for how long: 12 epochs, a tenth of the rate for the last 3.
max_epochs = 12

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [dict(type='MultiStepLR', begin=0, end=max_epochs, milestones=[9], gamma=0.1)]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='Adam', lr=1e-4))
auto_scale_lr = dict(enable=False, base_batch_size=16)
