# Multi-scale testing of the small scenes: the nine sizes of multi-scale.py times 0.4.
tta_model = dict(type='ScaleRangeTTAModel', scale_range=None)

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(1600, short), keep_ratio=True) for short in range(160, 481, 40)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
