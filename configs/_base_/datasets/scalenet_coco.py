# COCO for ScaleNet: masks, boxes where there are none, images of 512x512 px as in the paper. Objects are loaded before the image
# is resized in testing too: the truth is in the frame that the network sees. Images without objects are all background.
view_size = (512, 512)
data_root = 'data/coco/'

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadMasksOrBoxes'),
    dict(type='Resize', scale=view_size, keep_ratio=False),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInstanceInputs'),
]
test_pipeline = [step for step in train_pipeline if step['type'] != 'RandomFlip']

train_dataloader = dict(
    batch_size=16,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_train2017.json',
        data_prefix=dict(img='train2017/'),
        filter_cfg=dict(filter_empty_gt=False),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        ann_file='annotations/instances_val2017.json',
        data_prefix=dict(img='val2017/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='ScaleMapMetric')
test_evaluator = val_evaluator
