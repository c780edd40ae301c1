# The pyramid of pyramid.py, factors and range times 0.5.
_base_ = './pyramid.py'

tta_model = dict(scale_range=(8, 280))

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[factor]))
                for factor in (2.0, 1.0, 0.5, 0.25, 0.125)
            ],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
