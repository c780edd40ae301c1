# COCO's persons with keypoints at seven sizes: multi-scale training, section 4.3.2. Keypoints are given in whole pixels, whose
# centres lie at 0.5.
_base_ = './coco_multi-scale.py'

train_pipeline = [
    *_base_.train_pipeline[:2],
    dict(type='LoadKeypoints'),
    *_base_.train_pipeline[2:4],
    dict(type='MapKeypoints'),
    dict(type='PackInstanceInputs'),
]
test_pipeline = [
    *_base_.test_pipeline[:3],
    dict(type='LoadKeypoints'),
    dict(type='PackInstanceInputs'),
]
train_dataloader = dict(
    dataset=dict(
        type='CocoKeypointDataset',
        keypoint_offset=0.5,
        ann_file='annotations/person_keypoints_train2017.json',
        pipeline=train_pipeline,
    )
)
val_dataloader = dict(
    dataset=dict(
        type='CocoKeypointDataset',
        keypoint_offset=0.5,
        ann_file='annotations/person_keypoints_val2017.json',
        pipeline=test_pipeline,
    )
)
test_dataloader = val_dataloader

val_evaluator = dict(
    metric=['bbox', 'keypoints'],
    ann_file='data/coco/annotations/person_keypoints_val2017.json',
)
test_evaluator = val_evaluator
