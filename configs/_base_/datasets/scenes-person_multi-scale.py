# Scenes of persons with keypoints at seven sizes (tools/make_scenes.py --small --classes person). COCO labels no keypoints of
# small persons: the range from 12.8 px on, 0.4 times 32, is where its AP is measured.
_base_ = './scenes_multi-scale.py'

data_root = 'data/scenes-person/'
metainfo = dict(classes=('person',))

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
    dataset=dict(type='CocoKeypointDataset', metainfo=metainfo, data_root=data_root, pipeline=train_pipeline)
)
val_dataloader = dict(
    dataset=dict(type='CocoKeypointDataset', metainfo=metainfo, data_root=data_root, pipeline=test_pipeline)
)
test_dataloader = val_dataloader

val_evaluator = dict(
    ann_file=data_root + 'annotations/instances_val.json',
    metric=['bbox', 'keypoints'],
    scale_ranges=[*_base_.val_evaluator.scale_ranges, (12.8, None)],
)
test_evaluator = val_evaluator
