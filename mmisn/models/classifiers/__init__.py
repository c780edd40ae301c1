from .capsules import CapsNet, margin_loss, route, squash
from .picture_classifier import PictureClassifier
from .rescaling import RescalingClassifier, recursion_steps
from .two_conv import TwoConvClassifier
from .vgg11 import VGG11Classifier

__all__ = [
    'CapsNet',
    'PictureClassifier',
    'RescalingClassifier',
    'TwoConvClassifier',
    'VGG11Classifier',
    'margin_loss',
    'recursion_steps',
    'route',
    'squash',
]
