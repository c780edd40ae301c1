_base_ = './snip-faster-rcnn_r18-small_dc5_1xb4_scenes.py'
model = _base_.small_networks['r50-dc5-dcn']
