from .focal_loss import SoftmaxFocalLoss, softmax_focal_loss
from .scale_classes import BACKGROUND, IGNORED, IGNORED_SCALE, ScaleClasses, octave_bounds
from .scale_heads import ScaleClassHead, ScaleRegressionHead
from .scale_net import ScaleNet
from .simple_scale_net import SimpleScaleNet
from .targets import ImageObjects, class_map, object_map, object_masks, object_scales, relative_scale_map
from .unet_decoder import UNetDecoder

__all__ = [
    'BACKGROUND',
    'IGNORED',
    'IGNORED_SCALE',
    'ImageObjects',
    'ScaleClassHead',
    'ScaleClasses',
    'ScaleNet',
    'ScaleRegressionHead',
    'SoftmaxFocalLoss',
    'SimpleScaleNet',
    'UNetDecoder',
    'class_map',
    'object_map',
    'object_masks',
    'object_scales',
    'octave_bounds',
    'relative_scale_map',
    'softmax_focal_loss',
]
