# ScaleNet of Tables 2 and 3.
_base_ = [
    '../_base_/datasets/mnist_sizes.py',
    '../_base_/schedules/schedule_pictures.py',
    '../_base_/runtime_pictures.py',
]
model = dict(type='SimpleScaleNet', canvas=_base_.canvas, background_weight=0.1)
val_evaluator = dict(type='PictureScale', val_sizes=_base_.train_sizes)
test_evaluator = val_evaluator
