# The small profile with ResNet-18 of a quarter of the width.
_base_ = [
    '../_base_/models/scalenet_r18-small.py',
    '../_base_/datasets/scalenet_scenes.py',
    '../_base_/schedules/schedule_scalenet_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = dict(head=_base_.scale_heads_small['areas6'], view_size=_base_.view_size)
val_evaluator = dict(rule=_base_.scale_rules['areas6'])
test_evaluator = val_evaluator
visualizer = dict(type='ScaleMapVisualizer')
