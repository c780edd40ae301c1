# Multi-scale testing, section 4.1: short side 400 to 1200 px in steps of 100, every view reports all that it sees.
tta_model = dict(type='ScaleRangeTTAModel', scale_range=None)

tta_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(4000, short), keep_ratio=True) for short in range(400, 1201, 100)],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]
