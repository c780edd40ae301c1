# Table 2: the short side drawn from [640, 800] px, in steps of 32 as in multi-scale training; tested at (800, 1333).
_base_ = './faster-rcnn_r18_dc5_8xb4-18e_coco.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='RandomChoiceResize', scales=[(1333, short) for short in range(640, 801, 32)], keep_ratio=True),
    *_base_.train_pipeline[3:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
