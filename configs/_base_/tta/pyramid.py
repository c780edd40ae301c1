# Section 3.3.1, testing: whole images at the five factors; of each view only what lies in the range is kept, then merged by
# soft-NMS.
#
#   image ─┬─ x4    ─ detector ─ keep [16, 560] ─┐
#          ├─ x2    ─ detector ─ keep [16, 560] ─┤
#          ├─ x1    ─ detector ─ keep [16, 560] ─┼─ map back ─ soft-NMS per class ─ 100 best
#          ├─ x0.5  ─ detector ─ keep [16, 560] ─┤
#          └─ x0.25 ─ detector ─ keep [16, 560] ─┘
tta_model = dict(type='ScaleRangeTTAModel', scale_range=(16, 560))

tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
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
