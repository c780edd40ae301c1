# Fine-tuning on up-sampled images: half of them are crops of half the sides at the size of the whole, x2. It continues from the
# detector's checkpoint (--cfg-options load_from=...) at a tenth of its rate.
_base_ = '../baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'

load_from = 'work_dirs/faster-rcnn_r18-small_fpn_1xb4_scenes/epoch_8.pth'

_sized = [step for step in _base_.train_pipeline if step['type'] == 'Resize']
_loads, _rest = _base_.train_pipeline[:2], _base_.train_pipeline[3:]
# Cropped first, resampled after.
_crop = dict(type='RandomCrop', crop_type='relative', crop_size=(0.5, 0.5), allow_negative_crop=True)
train_pipeline = [*_loads, dict(type='RandomChoice', transforms=[_sized, [_crop, *_sized]], prob=[0.5, 0.5]), *_rest]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))

train_cfg = dict(max_epochs=4)
param_scheduler = [
    dict(type='LinearLR', start_factor=0.1, begin=0, end=1, convert_to_iter_based=True),
    dict(type='MultiStepLR', begin=0, end=4, milestones=[3], gamma=0.1),
]
optim_wrapper = dict(optimizer=dict(lr=0.002))
# The statistics of batch norm stay those of the checkpoint.
custom_hooks = [dict(type='NormEvalHook', begin=0), dict(type='SyncBuffersHook')]
