# Persons of real COCO images at seven sizes, the paper's 608 to 800 times 0.5.
_base_ = './coco-mini-person_single-scale.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomChoiceResize', scales=[(667, short) for short in range(304, 401, 16)], keep_ratio=True),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
