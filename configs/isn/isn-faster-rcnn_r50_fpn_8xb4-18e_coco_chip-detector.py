# The pyramid of `mim test --tta` as a detector of its own, for DetInferencer and `mim test` without --tta: the same weights,
# the same detections.
_base_ = './isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'

model = dict(
    _delete_=True,
    type='ChipDetector',
    backbone=dict(),  # mmdet's init_detector asks for it
    detector=_base_.model,
    generator=dict(type='PyramidChips', factors=_base_.factors),
    scale_range=_base_.scale_range,
)
custom_hooks = [dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
