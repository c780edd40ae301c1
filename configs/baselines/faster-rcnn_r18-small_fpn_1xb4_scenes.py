# The small profile of Table 6's single-scale baseline: synthetic scenes of 256x192 px, on a CPU.
_base_ = [
    '../_base_/models/faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/scenes_single-scale.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.networks['r18-fpn-small']
auto_scale_lr = dict(base_batch_size=4)
