# The pyramid of pyramid.py with the range of the small scenes.
tta_model = dict(type='ScaleRangeTTAModel', scale_range=(6.4, 224))

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[factor]))
                for factor in (4.0, 2.0, 1.0, 0.5, 0.25)
            ],
            [dict(type='CropChip')],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
