# The small profile of Table 6's ResNet-18-FPN + ISN: synthetic scenes of 256x192 px, on a CPU (see README.md).
_base_ = [
    '../_base_/models/isn-faster-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/scenes_chips232.py',
    '../_base_/schedules/schedule_scenes.py',
    '../_base_/tta/pyramid_scenes.py',
    '../_base_/runtime_scenes.py',
]
model = _base_.networks['r18-fpn-small']
# Batches of chips are of one level each. With the usual momentum of 0.1 the running statistics are those of the last ten
# batches, whichever levels these happen to be of, when NormEvalHook fixes them.
model['backbone']['norm_cfg']['momentum'] = 0.01
