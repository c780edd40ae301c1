# The pretrained classifier of Table 4.
_base_ = [
    '../_base_/datasets/cifar10_sizes.py',
    '../_base_/schedules/schedule_pictures.py',
    '../_base_/runtime_pictures.py',
]
model = dict(type='VGG11Classifier', canvas=_base_.canvas)
max_epochs = 10
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=0, begin=0, end=max_epochs, convert_to_iter_based=True)
]
