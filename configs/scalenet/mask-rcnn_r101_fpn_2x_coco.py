# Table 6: Mask R-CNN, ResNet-101-FPN. MMDetection's config as it is; its released checkpoint fits, too.
_base_ = ['mmdet::mask_rcnn/mask-rcnn_r101_fpn_2x_coco.py', '../_base_/imports.py']

val_evaluator = dict(type='ScaleRangeCocoMetric')
test_evaluator = val_evaluator
