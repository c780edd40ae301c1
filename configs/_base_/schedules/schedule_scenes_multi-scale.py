# Scenes at seven sizes are smaller on average (107 against 137 thousand pixels), so that 10 epochs of them have as many pixels as
# 8 of the others.
_base_ = './schedule_scenes.py'

max_epochs = 10

train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=max_epochs, milestones=[8], gamma=0.1),
]
custom_hooks = [dict(type='NormEvalHook', begin=4), dict(type='SyncBuffersHook')]
