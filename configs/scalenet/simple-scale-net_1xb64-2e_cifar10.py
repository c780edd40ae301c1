# ScaleNet of Table 4: an object is the whole picture, and k = 10 %.
_base_ = [
    '../_base_/datasets/cifar10_sizes.py',
    '../_base_/schedules/schedule_pictures.py',
    '../_base_/runtime_pictures.py',
]
model = dict(type='SimpleScaleNet', in_channels=3, canvas=_base_.canvas, object_pixels='picture', top_k=0.1)
val_evaluator = dict(type='PictureScale', val_sizes=_base_.train_sizes)
test_evaluator = val_evaluator
