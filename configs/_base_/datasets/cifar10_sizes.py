# CIFAR-10 at several sizes (ScaleNet, "CIFAR-10"): trained at 32, 38 and 44 px on a canvas of 64 px, tested at 96 px.
# The paper does not name the unit: 32 px here, of which its R_H = 1.338 allows 42.8 px, just less than the largest size.
_base_ = './pictures_at_sizes.py'

data_root = 'data/cifar10'
train_sizes = (32, 38, 44)
canvas = 64
unit_size = 32

val_dataloader = dict(
    dataset=dict(type='CIFAR10AtSizes', data_root=data_root, sizes=train_sizes, canvas=canvas, unit_size=unit_size)
)
train_dataloader = val_dataloader
test_dataloader = dict(dataset={**val_dataloader['dataset'], 'sizes': (*train_sizes, 96)})

val_evaluator = dict(type='PictureAccuracy', val_sizes=train_sizes)
test_evaluator = val_evaluator
