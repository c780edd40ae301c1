# Table 9: the light keypoint head, trained on chips and tested on the image pyramid (sections 3.4 and 4.3.2).
_base_ = [
    '../_base_/models/isn-offset-keypoint-rcnn_r50_fpn.py',
    '../_base_/models/networks.py',
    '../_base_/datasets/coco-person_chips576.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/pyramid.py',
    '../_base_/runtime_keypoint.py',
]
