# Table 6, Mask R-CNN, ResNet-101-FPN (MMDetection's, with its checkpoint): the released detector as it is.
_base_ = [
    'mmdet::mask_rcnn/mask-rcnn_r101_fpn_2x_coco.py',
    '../_base_/imports.py',
    '../_base_/chip_detectors/scalenet.py',
]

model = dict(_delete_=True, detector=_base_.model, **_base_.chip_detectors['plain'])
visualizer = dict(type='WindowVisualizer')
custom_hooks = [dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader

val_evaluator = dict(type='ScaleRangeCocoMetric')
test_evaluator = val_evaluator
