from .check_annotations_hook import CheckAnnotationsHook
from .class_names_hook import ClassNamesHook
from .norm_eval_hook import NormEvalHook
from .view_cost_hook import ViewCostHook

__all__ = ['CheckAnnotationsHook', 'ClassNamesHook', 'NormEvalHook', 'ViewCostHook']
