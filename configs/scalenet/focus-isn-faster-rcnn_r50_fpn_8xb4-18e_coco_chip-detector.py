# The ISN pyramid, each level computed only where ScaleNet predicts objects that no cheaper one serves well.
_base_ = [
    '../isn/isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py',
    '../_base_/chip_detectors/scalenet.py',
]

model = dict(
    _delete_=True,
    detector=_base_.model,
    view_filter=dict(scale_range=_base_.scale_range, edge_margin=4),
    **_base_.chip_detectors['focus'],
)
model['generator'].update(factors=_base_.factors, scale_range=_base_.scale_range)
visualizer = dict(type='WindowVisualizer')
custom_hooks = [dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
