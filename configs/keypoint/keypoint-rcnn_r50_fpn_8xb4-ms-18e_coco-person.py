# Table 9: Mask R-CNN's own keypoint head, trained at several sizes (Mask R-CNN, section 5) and tested at one.
_base_ = [
    '../_base_/models/keypoint-rcnn_r50_fpn.py',
    '../_base_/datasets/coco-person_multi-scale.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/multi-scale.py',
    '../_base_/runtime_keypoint.py',
]

# A score is the probability of one of 56x56 cells.
visualizer = dict(keypoint_score_thr=0.05)
