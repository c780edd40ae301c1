# CapsNet of Tables 2 and 3, with half of the paper's filters, and an epoch.
_base_ = './two-conv-classifier_1xb64-4e_mnist.py'
model = dict(_delete_=True, type='CapsNet', canvas=_base_.canvas, channels=128)
# Its authors' optimizer. After 250 steps of SGD as the other classifiers have it, the decoder has not begun to learn.
optim_wrapper = dict(optimizer=dict(_delete_=True, type='Adam', lr=0.001))
max_epochs = 1
train_cfg = dict(max_epochs=max_epochs)
param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=0, begin=0, end=max_epochs, convert_to_iter_based=True)
]
