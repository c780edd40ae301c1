# Multi-scale testing of the small scenes: the nine sizes of multi-scale.py times 0.4.
_base_ = './multi-scale.py'

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(1600, short), keep_ratio=True) for short in range(160, 481, 40)],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
