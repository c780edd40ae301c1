# The test of sniper.py on the small scenes: sizes and ranges times 0.4.
_base_ = './snip_scenes.py'

tta_pipeline = [
    *_base_.tta_pipeline[:1],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[size]))
                for size in ((800, 560), (512, 320), (205, 192))
            ],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
