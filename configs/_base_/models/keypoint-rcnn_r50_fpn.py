# Mask R-CNN's keypoint head (one-hot maps of 56x56) on Faster R-CNN: the baseline of section 4.3.2. Persons are the only class.
_base_ = './faster-rcnn_r50_fpn.py'

model = dict(
    roi_head=dict(
        type='KeypointRoIHead',
        bbox_head=dict(num_classes=1),
        keypoint_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=256,
            featmap_strides=[4, 8, 16, 32],
        ),
        keypoint_head=dict(
            type='KeypointRCNNHead', num_keypoints=17, num_convs=8, in_channels=256, conv_out_channels=512
        ),
    )
)
