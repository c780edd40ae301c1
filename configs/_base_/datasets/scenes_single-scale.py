# Synthetic scenes of 256x192 px (tools/make_scenes.py --small) at one size. All sizes of the paper times 0.4: 640 px of a
# COCO image are 256 px here, so (800, 1333) becomes (320, 533).
data_root = 'data/scenes/'
metainfo = dict(classes=('person', 'target', 'wheel', 'crate', 'window', 'stairs_sign', 'fence_sign'))

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(533, 320), keep_ratio=True),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackInstanceInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(533, 320), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(
    batch_size=4,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='train/'),
        filter_cfg=dict(filter_empty_gt=True),
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=1,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        metainfo=metainfo,
        data_root=data_root,
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

# Octaves of scale in original pixels, and COCO's small, medium and large times 0.4.
val_evaluator = dict(
    type='ScaleRangeCocoMetric',
    ann_file=data_root + 'annotations/instances_val.json',
    metric='bbox',
    scale_ranges=[(0, 12.8), (12.8, 38.4), (38.4, None), (6.4, 224)],
    scale_octaves=(3.2, 192),
)
test_evaluator = val_evaluator
