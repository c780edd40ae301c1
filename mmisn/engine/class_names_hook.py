"""Are the classes that a checkpoint was trained on those that a test counts?"""

from collections.abc import Sequence
from typing import Any

from mmdet.registry import HOOKS
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmisn._class_names import class_names_of_checkpoint, other_class_names


@HOOKS.register_module()
class ClassNamesHook(Hook):
    """Stop a test whose data has as many classes as the checkpoint but other names, or the names in another order.

    Labels are numbers: such a test would run, and score wrong classes. Another number of classes does not fit the
    weights and is an error of its own. Checkpoints that name no classes pass.

    Raises:
        ValueError: Before the test, if the names differ; it lists both.
    """

    def __init__(self) -> None:
        self._loaded: Sequence[str] | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Remember the names."""
        self._loaded = class_names_of_checkpoint(checkpoint)

    def before_train(self, runner: Runner) -> None:
        """What is trained from a checkpoint has the classes of the training."""
        self._loaded = None

    def before_test(self, runner: Runner) -> None:
        """Compare the names with those of the data."""
        if self._loaded is None:
            return
        metainfo: Any = getattr(runner.test_dataloader.dataset, 'metainfo', None) or {}
        found = other_class_names(self._loaded, metainfo.get('classes'))
        if found is not None:
            raise ValueError(
                f'{found}; labels would be scored as other classes. Test with the checkpoint of these classes, or give '
                "the dataset the checkpoint's names: test_dataloader.dataset.metainfo.classes"
            )
