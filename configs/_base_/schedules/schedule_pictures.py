# SGD with momentum, learning rate 0.01 and batches of 64 (ScaleNet, "MNIST"); the rate falls to 0 along a cosine, which the
# paper does not say. An epoch is all pictures at all three sizes. Validate with val_interval=1.
max_epochs = 2

train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=100)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='CosineAnnealingLR', T_max=max_epochs, eta_min=0, begin=0, end=max_epochs, convert_to_iter_based=True)
]
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
