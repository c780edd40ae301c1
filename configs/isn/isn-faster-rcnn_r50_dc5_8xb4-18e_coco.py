_base_ = './isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'
model = _base_.networks['r50-dc5']
