# Table 5: Faster R-CNN, ResNet-101 without FPN (conv4, as Detectron's), short side 600.
_base_ = ['mmdet::faster_rcnn/faster-rcnn_r50-caffe_c4-1x_coco.py', '../_base_/imports.py']

_weights = dict(type='Pretrained', checkpoint='open-mmlab://detectron2/resnet101_caffe')
model = dict(backbone=dict(depth=101, init_cfg=_weights), roi_head=dict(shared_head=dict(depth=101, init_cfg=_weights)))


def _sized(pipeline):
    return [dict(step, scale=(1000, 600)) if step['type'] == 'Resize' else step for step in pipeline]


train_pipeline = _sized(_base_.train_pipeline)
test_pipeline = _sized(_base_.test_pipeline)
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='ScaleRangeCocoMetric')
test_evaluator = val_evaluator
