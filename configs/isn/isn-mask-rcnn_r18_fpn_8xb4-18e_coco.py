_base_ = './isn-mask-rcnn_r50_fpn_8xb4-18e_coco.py'
model = _base_.networks['r18-fpn']
