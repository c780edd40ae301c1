from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper


@HOOKS.register_module()
class NormEvalHook(Hook):
    """From some epoch on, let the backbone's batch norm use its running statistics in training, too.

    Batches of ``ChipBatchSampler`` hold chips of one level mostly, so batch statistics are those of the level, while
    the running statistics, which testing uses, are an average over all levels. A network that is trained from scratch
    learns with the former and has to get used to the latter before it is tested. Pretrained backbones, whose
    statistics are fixed from the start (``norm_eval=True``), do not need this.

    Args:
        begin: First epoch, counted from 0, that is trained with running statistics.

    Raises:
        ValueError: If ``begin`` is negative.
    """

    def __init__(self, begin: int) -> None:
        if begin < 0:
            raise ValueError(f'NormEvalHook.begin must be >= 0, got {begin}')
        self.begin = begin

    def before_train_epoch(self, runner: Any) -> None:
        """Switch the backbone over; its own ``train`` keeps the mode from then on."""
        if runner.epoch < self.begin:
            return
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model.backbone, 'norm_eval'):
            raise AttributeError(f'{type(model.backbone).__name__} has no norm_eval, which NormEvalHook sets')
        model.backbone.norm_eval = True
        model.backbone.train(model.backbone.training)
