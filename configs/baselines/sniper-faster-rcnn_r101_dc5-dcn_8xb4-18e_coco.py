_base_ = './sniper-faster-rcnn_r50_dc5-dcn_8xb4-18e_coco.py'
model = _base_.networks['r101-dc5-dcn']
