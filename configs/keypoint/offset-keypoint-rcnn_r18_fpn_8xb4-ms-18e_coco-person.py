_base_ = './offset-keypoint-rcnn_r50_fpn_8xb4-ms-18e_coco-person.py'
model = _base_.networks['r18-fpn']
