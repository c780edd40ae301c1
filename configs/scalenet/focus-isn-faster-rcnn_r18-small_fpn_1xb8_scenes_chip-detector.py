# Small profile: the ISN pyramid, each level computed only where ScaleNet predicts objects that no cheaper one serves well.
# --cfg-options model.generator.margin=4 shows objects at cheaper levels, model.generator.skip_poor=False at several.
_base_ = [
    '../isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py',
    '../_base_/chip_detectors/scalenet_scenes.py',
]

model = dict(
    _delete_=True,
    detector=_base_.model,
    view_filter=dict(scale_range=_base_.scale_range, edge_margin=4),
    **_base_.chip_detectors['focus'],
)
model['generator'].update(factors=_base_.factors, scale_range=_base_.scale_range)
visualizer = dict(type='WindowVisualizer')
custom_hooks = [*_base_.custom_hooks, dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
