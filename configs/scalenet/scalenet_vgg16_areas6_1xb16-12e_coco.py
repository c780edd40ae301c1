# ScaleNet of the paper: six classes of mask area on COCO.
_base_ = [
    '../_base_/models/scalenet_vgg16.py',
    '../_base_/datasets/scalenet_coco.py',
    '../_base_/schedules/schedule_scalenet.py',
    '../_base_/runtime.py',
]
model = dict(head=_base_.scale_heads['areas6'], view_size=_base_.view_size)
val_evaluator = dict(rule=_base_.scale_rules['areas6'])
test_evaluator = val_evaluator
visualizer = dict(type='ScaleMapVisualizer')
