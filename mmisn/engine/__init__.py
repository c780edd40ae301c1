from .norm_eval_hook import NormEvalHook
from .view_cost_hook import ViewCostHook

__all__ = ['NormEvalHook', 'ViewCostHook']
