_base_ = './mask-rcnn_r50_fpn_8xb4-ms-18e_coco.py'
model = _base_.networks['r50-fpn-dcn']
