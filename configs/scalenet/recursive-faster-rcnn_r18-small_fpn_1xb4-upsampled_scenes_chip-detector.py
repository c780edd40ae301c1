# Small profile, fine-tuned on up-sampled images: ScaleNet's windows, NMS as the detector's.
_base_ = [
    './faster-rcnn_r18-small_fpn_1xb4-upsampled_scenes.py',
    '../_base_/chip_detectors/scalenet_scenes.py',
]

model = dict(_delete_=True, detector=_base_.model, **_base_.chip_detectors['recursive'])
# As it was fine-tuned.
model['interpolation'] = 'bilinear'
visualizer = dict(type='WindowVisualizer')
custom_hooks = [*_base_.custom_hooks, dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
