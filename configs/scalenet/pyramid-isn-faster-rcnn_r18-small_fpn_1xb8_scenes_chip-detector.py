# Small profile: the whole ISN pyramid, with its cost among the metrics: what focus-* is compared with.
_base_ = '../isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes_chip-detector.py'

visualizer = dict(type='WindowVisualizer')
custom_hooks = [*_base_.custom_hooks, dict(type='ViewCostHook')]
