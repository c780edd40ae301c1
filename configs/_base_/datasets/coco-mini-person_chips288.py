# Persons of real COCO images as ISN trains on them: factors, range and chip are the paper's times 0.5.
_base_ = './coco-mini-person_single-scale.py'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(
    batch_size=8,
    # An epoch feeds the network as many pixels per image as the single-scale baseline, 533 x 400 on average.
    sampler=dict(_delete_=True, type='ChipSampler', pixels_per_image=533 * 400),
    batch_sampler=dict(type='ChipBatchSampler'),
    dataset=dict(
        _delete_=True,
        type='ChipDataset',
        generator=dict(
            type='CoverChips',
            factors=(2.0, 1.0, 0.5, 0.25, 0.125),
            scale_range=(8, 280),
            chip_size=288,
            stride=(28, 30),
        ),
        dataset=dict(
            type='CocoDataset',
            ann_file='annotations/instances_train.json',
            filter_cfg=dict(filter_empty_gt=True),
            **_base_.data,
        ),
        pipeline=train_pipeline,
    ),
)
