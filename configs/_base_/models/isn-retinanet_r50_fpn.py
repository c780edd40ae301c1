# ISN in a one-stage detector: out-of-range objects are ignored where anchors are assigned, and out-of-range boxes are dropped
# before any cut. Sampler and focal loss stay RetinaNet's.
_base_ = 'mmdet::_base_/models/retinanet_r50_fpn.py'

model = dict(
    bbox_head=dict(type='ScaleRangeRetinaHead'),
    train_cfg=dict(assigner=dict(type='ScaleRangeAssigner')),
    # Soft-NMS as in section 4.1; low scores are kept for it to work on.
    test_cfg=dict(
        score_thr=0.001,
        nms=dict(_delete_=True, type='soft_nms', method='gaussian', sigma=0.5, min_score=0.001),
    ),
)
