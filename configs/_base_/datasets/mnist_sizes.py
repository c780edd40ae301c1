# MNIST at several sizes (ScaleNet, "MNIST"): trained at 14, 16 and 18 px on a canvas of 28 px, 16 px being scale 1.0.
# Validation is the test digits at these sizes; they are tested in the same run.
data_root = 'data/mnist'
train_sizes = (14, 16, 18)
canvas = 28
unit_size = 16

train_dataloader = dict(
    batch_size=64,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='DefaultSampler', shuffle=True),
    collate_fn=dict(type='default_collate'),
    dataset=dict(
        type='MNISTAtSizes',
        data_root=data_root,
        split='train',
        sizes=train_sizes,
        canvas=canvas,
        unit_size=unit_size,
        # Sizes that the digits are resampled to on the way, at random: sizes are not to be told by the sharpness of edges.
        detour=(14, 56),
    ),
)
# Pictures of 112 px and more, which the paper does not have, are made of the first 2,000 digits, to save time.
test_dataloader = dict(
    batch_size=500,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    collate_fn=dict(type='pseudo_collate'),
    dataset=dict(
        type='MNISTAtSizes',
        data_root=data_root,
        split='test',
        sizes=(*train_sizes, 28, 56, 84, (112, 2000), (168, 2000), (224, 2000)),
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
        type='MNISTAtSizes',
        data_root=data_root,
        split='test',
        sizes=train_sizes,
        canvas=canvas,
        unit_size=unit_size,
    ),
)
val_evaluator = dict(type='PictureAccuracy', val_sizes=train_sizes)
test_evaluator = val_evaluator
