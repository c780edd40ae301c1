# The small profile of Table 9's Mask R-CNN: its own keypoint head, with an eighth of the channels as the light one has.
_base_ = './offset-keypoint-rcnn_r50-small_fpn_1xb4-ms_scenes-person.py'

model = dict(
    roi_head=dict(
        keypoint_roi_extractor=dict(roi_layer=dict(output_size=14)),
        keypoint_head=dict(
            _delete_=True,
            type='KeypointRCNNHead',
            num_keypoints=17,
            num_convs=8,
            in_channels=48,
            conv_out_channels=64,
        ),
    )
)

# A score is the probability of one of 56x56 cells.
visualizer = dict(keypoint_score_thr=0.05)
