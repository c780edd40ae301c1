# scenes_multi-scale.py with masks.
_base_ = './scenes_multi-scale.py'

train_pipeline = [
    *_base_.train_pipeline[:1],
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
