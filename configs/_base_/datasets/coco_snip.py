# COCO as SNIP trains on it: whole images at each of three sizes at which they have objects of its range; other objects are
# ignored. Ranges are in ORIGINAL pixels, one per size.
_base_ = './coco_chips576.py'

factors = [(2000, 1400), (1200, 800), (800, 480)]
scale_range = [
    dict(lower=0, upper=80, frame='original'),
    dict(lower=40, upper=160, frame='original'),
    dict(lower=120, upper=None, frame='original'),
]

# The budget of pixels of coco_chips576.py holds, an epoch of which SNIP's larger pictures fill sooner.
train_dataloader = dict(
    dataset=dict(generator=dict(_delete_=True, type='PyramidChips', factors=factors, scale_range=scale_range)),
)

# Validation while training: the middle size. `mim test --tta` tests on all three.
test_pipeline = [
    *_base_.test_pipeline[:1],
    dict(type='Resize', scale=(1200, 800), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
