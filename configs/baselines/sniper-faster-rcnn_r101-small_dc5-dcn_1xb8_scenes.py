_base_ = './sniper-faster-rcnn_r18-small_dc5_1xb8_scenes.py'
model = _base_.small_networks['r101-dc5-dcn']
