# Scenes as SNIPER trains on them: the ranges of coco_chips512.py times 0.4, and its long side, 205 px. 512 px become 210 (not
# 205, so that chips are whole pixels, 70 and 126, at the factors 3 and 5/3).
_base_ = './scenes_chips232.py'

factors = (3.0, 1.667, (205, 205))
scale_range = [
    dict(lower=0, upper=32, frame='original'),
    dict(lower=12.8, upper=60, frame='original'),
    dict(lower=48, upper=None, frame='original'),
]

train_dataloader = dict(
    dataset=dict(
        generator=dict(factors=factors, scale_range=scale_range, chip_size=210),
        # Negative chips are switched on as in coco_chips512.py.
    ),
)

# Validation while training: the middle size.
test_pipeline = [
    *_base_.test_pipeline[:1],
    dict(type='Resize', scale=(512, 320), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
