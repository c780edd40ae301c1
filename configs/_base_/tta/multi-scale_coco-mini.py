# Multi-scale testing of the half-size profile: the nine sizes of multi-scale.py times 0.5.
_base_ = './multi-scale.py'

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(2000, short), keep_ratio=True) for short in range(200, 601, 50)],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
