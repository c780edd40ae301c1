from .deform_mobilenet_v2 import DeformMobileNetV2
from .norm_eval_hook import NormEvalHook

__all__ = ['DeformMobileNetV2', 'NormEvalHook']
