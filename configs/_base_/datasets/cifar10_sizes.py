# CIFAR-10 at several sizes (ScaleNet, "CIFAR-10"): trained at 32, 38 and 44 px on a canvas of 64 px, tested at 96 px.
# The paper does not name the unit: 32 px here, of which its R_H = 1.338 allows 42.8 px, just less than the largest size.
data_root = 'data/cifar10'
train_sizes = (32, 38, 44)
canvas = 64
unit_size = 32

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='CIFAR10AtSizes',
        data_root=data_root,
        split='train',
        sizes=train_sizes,
        canvas=canvas,
        unit_size=unit_size,
    ),
)
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CIFAR10AtSizes',
        data_root=data_root,
        split='test',
        sizes=(*train_sizes, 96),
        canvas=canvas,
        unit_size=unit_size,
    ),
)
val_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='CIFAR10AtSizes',
        data_root=data_root,
        split='test',
        sizes=train_sizes,
        canvas=canvas,
        unit_size=unit_size,
    ),
)
val_evaluator = dict(type='PictureAccuracy', val_sizes=train_sizes)
test_evaluator = val_evaluator
