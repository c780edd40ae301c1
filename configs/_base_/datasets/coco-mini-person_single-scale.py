# The persons of a few real COCO images, for comparisons on a CPU; all sizes of the paper times 0.5. MMISN_DATA names the folder
# that holds coco_mini/images and coco_mini/annotations.
_base_ = './scenes_single-scale.py'

data_root = '{{$MMISN_DATA:data}}/coco_mini/'
metainfo = dict(classes=('person',))

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='Resize', scale=(667, 400), keep_ratio=True),
    *_base_.train_pipeline[3:],
]
test_pipeline = [
    *_base_.test_pipeline[:1],
    dict(type='Resize', scale=(667, 400), keep_ratio=True),
    *_base_.test_pipeline[2:],
]
data = dict(data_root=data_root, metainfo=metainfo, data_prefix=dict(img='images/'))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline, **data))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline, **data))
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val.json', scale_ranges=[(16, 560)], scale_octaves=(8, 512)
)
test_evaluator = val_evaluator
