_base_ = './isn-mask-rcnn_r18-small_fpn_1xb8_scenes.py'
model = _base_.small_networks['r50-fpn']
