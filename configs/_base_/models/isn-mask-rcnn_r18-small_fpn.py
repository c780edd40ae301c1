_base_ = ['./mask-rcnn_r18-small_fpn.py', './isn_rcnn.py']
model = _base_.isn_rcnn
# Batches of chips are of one level each: see isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py.
model['backbone'] = dict(norm_cfg=dict(momentum=0.01))
