# Scenes as ISN trains on them. Range and chip are the paper's times 0.4: [16, 560] becomes [6.4, 224], 576 px become 232
# (not 230, so that chips are whole pixels at every factor).
_base_ = './scenes_single-scale.py'

scale_range = (6.4, 224)
factors = (4.0, 2.0, 1.0, 0.5, 0.25)

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(
    # Chips have a third of a picture's pixels, so twice as many make a batch.
    batch_size=8,
    # An epoch feeds the network as many pixels per image as the single-scale baseline: 427 x 320.
    sampler=dict(_delete_=True, type='ChipSampler', pixels_per_image=427 * 320),
    batch_sampler=dict(type='ChipBatchSampler'),
    dataset=dict(
        _delete_=True,
        type='ChipDataset',
        generator=dict(
            type='CoverChips',
            factors=factors,
            scale_range=scale_range,
            chip_size=232,
            stride=(22, 24),
        ),
        dataset=dict(
            type='CocoDataset',
            metainfo=_base_.metainfo,
            data_root=_base_.data_root,
            ann_file='annotations/instances_train.json',
            data_prefix=dict(img='train/'),
            filter_cfg=dict(filter_empty_gt=True),
        ),
        pipeline=train_pipeline,
    ),
)

# Validation while training: one view, short side 600 times 0.4.
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(400, 240), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackInstanceInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
