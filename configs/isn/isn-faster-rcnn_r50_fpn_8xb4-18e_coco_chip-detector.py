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

# The raw image: chips are cut in the detector.
test_pipeline = [
    dict(type='LoadImageFromFile', backend_args=None),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='PackInstanceInputs'),
]
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
