# Table 6, the last row: fine-tuned on up-sampled images, ScaleNet's windows, soft-NMS.
_base_ = './recursive-faster-rcnn_r101_fpn_1x-upsampled_coco_chip-detector.py'
model = dict(nms=dict(_delete_=True, type='soft_nms', method='gaussian', sigma=0.5, min_score=1e-3))
