# The range-aware Faster R-CNN of the small profile, which SNIP and SNIPER on the scenes start from.
_base_ = ['./isn-faster-rcnn_r50_fpn.py', './networks.py', './networks_small.py']

model = _base_.networks['r18-fpn-small']
# Batches of chips are of one level each: see isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py.
model['backbone']['norm_cfg']['momentum'] = 0.01
