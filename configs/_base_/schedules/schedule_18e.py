# ISN section 4.1: 18 epochs, lr 0.00125 per image of the batch, divided by 10 at the 15th and at the 18th epoch, warm-up
# over the first epoch. Momentum and weight decay are Mask R-CNN's.
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=18, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')

param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, begin=0, end=1, convert_to_iter_based=True),
    # Counted from 0, the 15th and the 18th epoch are 14 and 17.
    dict(type='MultiStepLR', begin=0, end=18, milestones=[14, 17], gamma=0.1),
]

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='SGD', lr=0.04, momentum=0.9, weight_decay=0.0001),
    # Warm-up alone does not always hold small networks on batches of large chips.
    clip_grad=dict(max_norm=35, norm_type=2),
)

# 8 GPUs with 4 images each; --auto-scale-lr divides lr when the batch is smaller.
auto_scale_lr = dict(enable=False, base_batch_size=32)
