# SNIPER, testing: the ranges of snip.py at SNIPER's three sizes.
_base_ = './snip.py'

tta_pipeline = [
    *_base_.tta_pipeline[:1],
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[size]))
                for size in ((2000, 1400), (1280, 800), (512, 480))
            ],
            *_base_.tta_pipeline[1]['transforms'][1:],
        ],
    ),
]
