_base_ = ['./isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py', '../_base_/models/networks_small.py']
model = _base_.small_networks['r18-dc5']
