_base_ = ['./faster-rcnn_r18-small_fpn_1xb4-ms_scenes.py', '../_base_/models/networks_small.py']
model = _base_.small_networks['r50-fpn']
