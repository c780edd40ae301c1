# COCO as SNIPER trains on it: chips of 512 px that enclose the objects in range of three levels, x3, x1.667 and long side 512.
# Ranges are in ORIGINAL pixels, one per level.
_base_ = './coco_chips576.py'

factors = (3.0, 1.667, (512, 512))
scale_range = [
    dict(lower=0, upper=80, frame='original'),
    dict(lower=32, upper=150, frame='original'),
    dict(lower=120, upper=None, frame='original'),
]

train_dataloader = dict(
    dataset=dict(
        generator=dict(factors=factors, scale_range=scale_range, chip_size=512),
        # With negative chips, as SNIPER has them, once tools/mine_negative_chips.py has written the file:
        # negatives=dict(proposals='FILE.npz', per_image=2),
    ),
)

# Validation while training: the middle size. `mim test --tta` tests on all three.
test_pipeline = [
    *_base_.test_pipeline[:1],
    dict(type='Resize', scale=(1280, 800), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
