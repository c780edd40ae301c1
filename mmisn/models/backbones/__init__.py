from .deform_mobilenet_v2 import DeformMobileNetV2
from .plain_vgg import PlainVGG
from .small_input_dcn import SmallInputDeformConv

__all__ = ['DeformMobileNetV2', 'PlainVGG', 'SmallInputDeformConv']
