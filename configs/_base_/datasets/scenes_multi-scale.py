# Scenes at seven sizes: multi-scale training, section 4.1, all sizes times 0.4 (short side 608 to 800 becomes 243 to 320).
_base_ = './scenes_single-scale.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='RandomChoiceResize',
        scales=[(533, short) for short in (243, 256, 269, 282, 294, 307, 320)],
        keep_ratio=True,
    ),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
