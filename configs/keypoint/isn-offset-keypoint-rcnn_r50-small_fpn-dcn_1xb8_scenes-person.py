_base_ = './isn-offset-keypoint-rcnn_r18-small_fpn_1xb8_scenes-person.py'
model = _base_.small_networks['r50-fpn-dcn']
