# Scenes as SNIP trains on them: the sizes and ranges of coco_snip.py times 0.4.
_base_ = './scenes_chips232.py'

factors = [(800, 560), (480, 320), (320, 192)]
scale_range = [
    dict(lower=0, upper=32, frame='original'),
    dict(lower=16, upper=64, frame='original'),
    dict(lower=48, upper=None, frame='original'),
]

train_dataloader = dict(
    batch_size=4,
    dataset=dict(generator=dict(_delete_=True, type='PyramidChips', factors=factors, scale_range=scale_range)),
)

# Validation while training: the middle size.
test_pipeline = [
    *_base_.test_pipeline[:1],
    dict(type='Resize', scale=(480, 320), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
