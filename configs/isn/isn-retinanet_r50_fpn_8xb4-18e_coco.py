# RetinaNet + ISN, ResNet-50-FPN: not in the paper; it shows that ISN's parts are not tied to Faster R-CNN.
_base_ = [
    '../_base_/models/isn-retinanet_r50_fpn.py',
    '../_base_/datasets/coco_chips576.py',
    '../_base_/schedules/schedule_18e.py',
    '../_base_/tta/pyramid.py',
    '../_base_/runtime.py',
]
# Half of Faster R-CNN's: MMDetection trains RetinaNet with 0.01 where it trains Faster R-CNN with 0.02.
optim_wrapper = dict(optimizer=dict(lr=0.02))
