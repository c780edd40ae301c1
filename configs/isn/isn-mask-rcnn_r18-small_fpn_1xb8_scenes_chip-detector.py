# The pyramid of `mim test --tta` as a detector of its own, for DetInferencer and `mim test` without --tta.
_base_ = './isn-mask-rcnn_r18-small_fpn_1xb8_scenes.py'

pyramid = dict(type='PyramidChips', factors=_base_.factors)
model = dict(type='ChipDetector', detector=_base_.model, generator=pyramid, scale_range=_base_.scale_range)
model.update(_delete_=True, backbone=dict())  # mmdet's init_detector asks for a backbone
custom_hooks = [*_base_.custom_hooks, dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
