_base_ = './mask-rcnn_r18-small_fpn_1xb4-ms_scenes.py'
model = _base_.small_networks['r50-fpn']
