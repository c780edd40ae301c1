# Multi-scale testing of the half-size profile: the nine sizes of multi-scale.py times 0.5.
tta_model = dict(type='ScaleRangeTTAModel', scale_range=None)

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(2000, short), keep_ratio=True) for short in range(200, 601, 50)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
