_base_ = './sniper-faster-rcnn_r18-small_dc5_1xb8_scenes.py'
model = _base_.small_networks['mobilenetv2-dc5']
# Slow statistics, as in the base.
model['backbone']['norm_cfg'] = _base_.model.backbone.norm_cfg
