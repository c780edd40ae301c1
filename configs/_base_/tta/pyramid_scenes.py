# The pyramid of pyramid.py with the range of the small scenes.
_base_ = './pyramid.py'

tta_model = dict(scale_range=(6.4, 224))
tta_pipeline = [dict(type='LoadImageFromFile'), *_base_.tta_pipeline[1:]]
