"""The checks of annotation files that ``ChipDataset`` makes, for trainings on whole images."""

import os
from collections.abc import Iterator
from typing import Any

from mmdet.registry import HOOKS
from mmengine.dist import broadcast_object_list, is_main_process
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from mmisn.datasets import ChipDataset, check_annotations
from mmisn.datasets.annotation_check import is_coco_dataset, loaded_masks


@HOOKS.register_module()
class CheckAnnotationsHook(Hook):
    """Before training, look at the annotation files of ``CocoDataset`` and count what it leaves out.

    ``CocoDataset`` passes over annotations in silence; a mask of another size than its image or an object without a
    mask stops a worker process with an error that names neither. A ``ChipDataset`` checks its own file when it plans.
    Among ``default_hooks`` it changes no results. On several ranks the first one looks. Files behind a storage backend
    are not looked at.

    Raises:
        ValueError: Before the first step, if a file is invalid, see ``check_annotations``, or masks are loaded and an
            annotation has none.
    """

    def before_train(self, runner: Runner) -> None:
        """Check, and log what is left out."""
        failure: list[Any] = [None]
        if is_main_process():
            try:
                for dataset in coco_datasets(runner.train_dataloader.dataset):
                    _check(dataset)
            except Exception as error:
                failure = [error]
        # A failure on the first rank must end all of them, not leave them waiting.
        broadcast_object_list(failure)
        if failure[0] is not None:
            raise failure[0]


def coco_datasets(dataset: Any) -> Iterator[Any]:
    """The ``CocoDataset``s in a dataset and its wrappers, without those of a ``ChipDataset``."""
    if is_coco_dataset(dataset):
        yield dataset
    elif not isinstance(dataset, ChipDataset):
        inner = [dataset.dataset] if hasattr(dataset, 'dataset') else getattr(dataset, 'datasets', [])
        for part in inner:
            yield from coco_datasets(part)


def _check(dataset: Any) -> None:
    if not os.path.isfile(dataset.ann_file):
        return
    report = check_annotations(
        dataset.ann_file,
        dataset.metainfo['classes'],
        keeps_ignored=getattr(dataset, 'keeps_ignored', False),
        masks=loaded_masks(dataset.pipeline),
        needs_masks=True,
    )
    for line in report.lines():
        print_log(f'{dataset.ann_file}: {line}', 'current', level=30)
