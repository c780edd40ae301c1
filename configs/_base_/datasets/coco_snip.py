# COCO as SNIP trains on it: whole images, each at one of three sizes, which trains the objects of its range only. Ranges are in
# ORIGINAL pixels, one per size.
_base_ = './coco_single-scale.py'

train_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='GenerateChips',
        generator=dict(
            type='PyramidChips',
            factors=[(2000, 1400), (1200, 800), (800, 480)],
            scale_range=[
                dict(lower=0, upper=80, frame='original'),
                dict(lower=40, upper=160, frame='original'),
                dict(lower=120, upper=None, frame='original'),
            ],
        ),
        flip_prob=0.5,
    ),
    dict(type='FilterByScale'),  # before CropChip: scale is that of the whole object
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

# Validation while training: the middle size. `mim test --tta` tests on all three.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='Resize', scale=(1200, 800), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackInstanceInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
