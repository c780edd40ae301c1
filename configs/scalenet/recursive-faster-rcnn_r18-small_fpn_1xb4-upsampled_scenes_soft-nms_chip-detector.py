# Small profile, fine-tuned on up-sampled images: ScaleNet's windows, soft-NMS.
_base_ = './recursive-faster-rcnn_r18-small_fpn_1xb4-upsampled_scenes_chip-detector.py'
model = dict(nms=dict(_delete_=True, type='soft_nms', method='gaussian', sigma=0.5, min_score=1e-3))
