# MNIST at several sizes (ScaleNet, "MNIST"): trained at 14, 16 and 18 px on a canvas of 28 px, 16 px being scale 1.0.
# Validation is the test digits at these sizes; they are tested in the same run.
_base_ = './pictures_at_sizes.py'

data_root = 'data/mnist'
train_sizes = (14, 16, 18)
canvas = 28
unit_size = 16

val_dataloader = dict(
    dataset=dict(type='MNISTAtSizes', data_root=data_root, sizes=train_sizes, canvas=canvas, unit_size=unit_size)
)
# The detour is sizes that the digits are resampled to on the way, at random: sizes are not to be told by the sharpness of
# edges.
train_dataloader = dict(sampler=dict(type='SeededSampler'), dataset=dict(**val_dataloader['dataset'], detour=(14, 56)))
# Pictures of 112 px and more, which the paper does not have, are made of the first 1,000 digits, to save time.
test_dataloader = dict(
    dataset={
        **val_dataloader['dataset'],
        'sizes': (*train_sizes, 28, 56, 84, (112, 1000), (168, 1000), (224, 1000)),
    }
)

val_evaluator = dict(type='PictureAccuracy', val_sizes=train_sizes)
test_evaluator = val_evaluator
