# SNIP, testing: whole images at the training's three sizes. Each reports the objects of a range of its own, in ORIGINAL pixels;
# the ranges are wider than in training (SNIPER's: SNIP does not print its own).
#
#   image ─┬─ (1400, 2000) ─ detector ─ keep [0, 90]   ─┐
#          ├─ (800, 1200)  ─ detector ─ keep [32, 180] ─┼─ map back ─ soft-NMS per class ─ 100 best
#          └─ (480, 800)   ─ detector ─ keep [75, inf] ─┘
tta_model = dict(
    type='ScaleRangeTTAModel',
    scale_range=[
        dict(lower=0, upper=90, frame='original'),
        dict(lower=32, upper=180, frame='original'),
        dict(lower=75, upper=None, frame='original'),
    ],
)

tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[size]))
                for size in ((2000, 1400), (1200, 800), (800, 480))
            ],
            [dict(type='CropChip')],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
