# Table 4: SSDLite with MobileNetV2, as MMDetection has it.
_base_ = ['mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py', '../_base_/imports.py']

# MMDetection 3.3.0's own SSDHead fails in testing.
model = dict(bbox_head=dict(type='PatchedSSDHead'))

val_evaluator = dict(type='ScaleRangeCocoMetric', scale_ranges=[(16, 560)])
test_evaluator = val_evaluator
