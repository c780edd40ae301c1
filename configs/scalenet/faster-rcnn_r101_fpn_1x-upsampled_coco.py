# Table 6, fine-tuning on up-sampled images: half of them are crops of half the sides at the size of the whole, x2. It continues from
# MMDetection's checkpoint of the detector (mim download mmdet --config faster-rcnn_r101_fpn_2x_coco --dest work_dirs) at a tenth of
# its rate; how long the paper does it is not stated.
_base_ = ['mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py', '../_base_/imports.py']

load_from = 'work_dirs/faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth'

_sized = [step for step in _base_.train_pipeline if step['type'] == 'Resize']
_loads, _rest = _base_.train_pipeline[:2], _base_.train_pipeline[3:]
# Cropped first, resampled after.
_crop = dict(type='RandomCrop', crop_type='relative', crop_size=(0.5, 0.5), allow_negative_crop=True)
train_pipeline = [*_loads, dict(type='RandomChoice', transforms=[_sized, [_crop, *_sized]], prob=[0.5, 0.5]), *_rest]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=4, val_interval=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.001, by_epoch=False, begin=0, end=500),
    dict(type='MultiStepLR', begin=0, end=4, by_epoch=True, milestones=[3], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=0.002))
