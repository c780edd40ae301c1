from .deform_mobilenet_v2 import DeformMobileNetV2

__all__ = ['DeformMobileNetV2']
