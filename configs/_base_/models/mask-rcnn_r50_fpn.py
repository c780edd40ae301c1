# Mask R-CNN with soft-NMS after the box head, as faster-rcnn_r50_fpn.py.
_base_ = 'mmdet::_base_/models/mask-rcnn_r50_fpn.py'

model = dict(
    test_cfg=dict(
        rcnn=dict(
            score_thr=0.001,
            nms=dict(_delete_=True, type='soft_nms', method='gaussian', sigma=0.5, min_score=0.001),
        )
    )
)
