# COCO with masks at seven sizes: multi-scale training, section 4.3.1. AR by object size as in Table 8.
_base_ = './coco_multi-scale.py'

train_pipeline = [
    *_base_.train_pipeline[:1],
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(
    metric=['bbox', 'segm'],
    metric_items=['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000'],
)
test_evaluator = val_evaluator
