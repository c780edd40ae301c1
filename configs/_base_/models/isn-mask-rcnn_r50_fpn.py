_base_ = ['./mask-rcnn_r50_fpn.py', './isn_rcnn.py']
model = _base_.isn_rcnn
