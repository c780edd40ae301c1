# The whole ISN pyramid, with its cost among the metrics: what focus-* is compared with.
_base_ = '../isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco_chip-detector.py'

visualizer = dict(type='WindowVisualizer')
custom_hooks = [dict(type='ViewCostHook')]
