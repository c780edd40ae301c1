# COCO with masks as ISN trains on it, section 4.3.1. AR by object size as in Table 8.
_base_ = './coco_chips576.py'

train_pipeline = [
    *_base_.train_pipeline[:1],
    # Polygons stay polygons, so that a chip at factor 4 has their edges, not blocks of 4x4 px. COCO's run-length masks are
    # crowds, which are ignored anyway; objects of other data that have one would be, too, and are counted.
    dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=False),
    *_base_.train_pipeline[2:],
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

val_evaluator = dict(
    metric=['bbox', 'segm'],
    metric_items=['mAP', 'mAP_50', 'mAP_75', 'mAP_s', 'mAP_m', 'mAP_l', 'AR_s@1000', 'AR_m@1000', 'AR_l@1000'],
)
test_evaluator = val_evaluator
