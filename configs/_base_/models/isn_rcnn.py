# ISN in a two-stage detector: out-of-range objects are ignored where anchors and proposals are assigned, and out-of-range
# proposals are dropped before any cut (section 3.3.1).
isn_rcnn = dict(
    rpn_head=dict(type='ScaleRangeRPNHead'),
    train_cfg=dict(
        rpn=dict(assigner=dict(type='ScaleRangeAssigner')),
        rcnn=dict(assigner=dict(type='ScaleRangeAssigner')),
    ),
)
