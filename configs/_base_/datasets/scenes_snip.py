# Scenes as SNIP trains on them: the sizes and ranges of coco_snip.py times 0.4.
_base_ = './scenes_single-scale.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='GenerateChips',
        generator=dict(
            type='PyramidChips',
            factors=[(800, 560), (480, 320), (320, 192)],
            scale_range=[
                dict(lower=0, upper=32, frame='original'),
                dict(lower=16, upper=64, frame='original'),
                dict(lower=48, upper=None, frame='original'),
            ],
        ),
        flip_prob=0.5,
    ),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Validation while training: the middle size.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(480, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackInstanceInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
