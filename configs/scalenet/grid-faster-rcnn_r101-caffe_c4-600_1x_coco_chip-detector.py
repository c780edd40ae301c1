# Table 5, short side 600: Grid-Rescale, 4 overlapping cells as large as the image.
_base_ = [
    './faster-rcnn_r101-caffe_c4-600_1x_coco.py',
    '../_base_/chip_detectors/scalenet.py',
]

model = dict(_delete_=True, detector=_base_.model, **_base_.chip_detectors['grid'])
model['generator'].update(level=(1000, 600))
visualizer = dict(type='WindowVisualizer')
custom_hooks = [dict(type='ViewCostHook')]

# The raw image: chips are cut in the detector.
test_pipeline = [step for step in _base_.test_pipeline if step['type'] != 'Resize']
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
