_base_ = ['./offset-keypoint-rcnn_r50_fpn.py', './isn_rcnn.py']
model = _base_.isn_rcnn
