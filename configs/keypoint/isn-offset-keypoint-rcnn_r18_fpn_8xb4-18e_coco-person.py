_base_ = './isn-offset-keypoint-rcnn_r50_fpn_8xb4-18e_coco-person.py'
model = _base_.networks['r18-fpn']
