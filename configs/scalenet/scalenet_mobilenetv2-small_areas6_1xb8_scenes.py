# The small profile: six classes of mask area on synthetic scenes, on a CPU; all sizes times 0.4.
_base_ = [
    '../_base_/models/scalenet_mobilenetv2-small.py',
    '../_base_/datasets/scalenet_scenes.py',
    '../_base_/schedules/schedule_scalenet_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = dict(head=_base_.scale_heads_small['areas6'], view_size=_base_.view_size)
val_evaluator = dict(rule=_base_.scale_rules['areas6'])
test_evaluator = val_evaluator
visualizer = dict(type='ScaleMapVisualizer')
