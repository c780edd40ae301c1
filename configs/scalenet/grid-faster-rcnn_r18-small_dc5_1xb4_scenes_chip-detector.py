# Small profile of Table 5, no FPN: Grid-Rescale, 4 overlapping cells as large as the image.
_base_ = [
    '../baselines/faster-rcnn_r18-small_dc5_1xb4_scenes.py',
    '../_base_/chip_detectors/scalenet_scenes.py',
]

model = dict(_delete_=True, detector=_base_.model, **_base_.chip_detectors['grid'])
visualizer = dict(type='WindowVisualizer')
custom_hooks = [*_base_.custom_hooks, dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
