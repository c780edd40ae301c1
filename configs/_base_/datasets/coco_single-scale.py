# COCO at one size, (800, 1333): the baseline of the paper's section 4.1.
_base_ = 'mmdet::_base_/datasets/coco_detection.py'

train_dataloader = dict(batch_size=4, num_workers=4)
val_evaluator = dict(type='ScaleRangeCocoMetric', scale_ranges=[(16, 560)])
test_evaluator = val_evaluator
