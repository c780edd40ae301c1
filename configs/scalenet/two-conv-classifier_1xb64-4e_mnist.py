# The pretrained classifier of Tables 2 and 3.
_base_ = [
    '../_base_/datasets/mnist_sizes.py',
    '../_base_/schedules/schedule_pictures.py',
    '../_base_/runtime_pictures.py',
]
model = dict(type='TwoConvClassifier', canvas=_base_.canvas, hidden=256)
max_epochs = 4
# The paper does not give the momentum; see the settings in the README.
optim_wrapper = dict(optimizer=dict(momentum=0.97))
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=0, begin=0, end=max_epochs, convert_to_iter_based=True)
]
