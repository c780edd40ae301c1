from .deform_mobilenet_v2 import DeformMobileNetV2
from .small_input_dcn import SmallInputDeformConv

__all__ = ['DeformMobileNetV2', 'SmallInputDeformConv']
