# The paper's light keypoint head (section 4.3.2): 22x16 features, eight convolutions of 256, vicinity and offset maps. Radius,
# unit of the offsets and loss weights are ours: the paper does not state them.
_base_ = './keypoint-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        keypoint_roi_extractor=dict(roi_layer=dict(output_size=(22, 16))),
        keypoint_head=dict(type='OffsetKeypointHead', conv_out_channels=256, radius=2.0),
    )
)
