# The test of snip.py on the small scenes: sizes and ranges times 0.4.
_base_ = './snip.py'

tta_model = dict(
    scale_range=[
        dict(lower=0, upper=36, frame='original'),
        dict(lower=12.8, upper=72, frame='original'),
        dict(lower=30, upper=None, frame='original'),
    ]
)

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[size]))
                for size in ((800, 560), (480, 320), (320, 192))
            ],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
