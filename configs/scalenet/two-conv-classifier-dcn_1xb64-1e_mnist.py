# The deformable CNN of Tables 2 and 3: the same classifier with mmcv's deformable convolutions, and an epoch: a step takes a
# second and more on one core.
_base_ = './two-conv-classifier_1xb64-4e_mnist.py'
model = dict(conv_cfg=dict(type='DCN'))
max_epochs = 1
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=0, begin=0, end=max_epochs, convert_to_iter_based=True)
]
