"""The data of tables on small pictures: MNIST or CIFAR-10."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from rich.console import Console

from mmisn.datasets import read_cifar10, read_mnist

from .budget import SMOKE_PICTURES, Budget, check_budget

READERS: dict[str, Callable[[Path, str], tuple[np.ndarray, np.ndarray]]] = dict(mnist=read_mnist, cifar10=read_cifar10)
FOLDERS = dict(mnist=Path('data/mnist'), cifar10=Path('data/cifar10'))
# What COCO calls val, is called test here.
SPLITS = dict(train='train', val='test')


@dataclass(frozen=True)
class PictureData:
    """Small pictures of both splits; it has what ``Data`` has of what trials ask.

    Attributes:
        kind: ``mnist`` or ``cifar10``.
        root: Folder of the files.
        limits: Pictures of each split that are used; ``None`` for all.
    """

    kind: str
    root: Path
    limits: Mapping[str, int] | None = None

    @property
    def name(self) -> str:
        """Name of the data."""
        return self.kind

    @cached_property
    def _splits(self) -> dict[str, tuple[str, int]]:
        """Digest and number of the pictures of each split."""
        found = {}
        for split, called in SPLITS.items():
            images, labels = READERS[self.kind](self.root, called)
            found[split] = hashlib.sha256(images.tobytes() + labels.tobytes()).hexdigest(), len(images)
        return found

    def check(self) -> None:
        """Read the files.

        Raises:
            ValueError: If they are missing or broken.
        """
        self._splits  # noqa: B018

    @property
    def digests(self) -> dict[str, str]:
        """sha256 of the pictures and labels of each split, however they are stored."""
        return {split: digest for split, (digest, _) in self._splits.items()}

    @property
    def digest(self) -> str:
        """What tells the data of both splits from others."""
        return '-'.join(self.digests.values())

    def num_images(self, split: str) -> int:
        """Number of pictures of a split."""
        number = self._splits[split][1]
        return number if self.limits is None else min(number, self.limits[split])

    def config_file(self, config: str) -> str:
        """The config file to run."""
        return config

    def options(self, cfg: Config) -> dict[str, Any]:
        """Overrides that point a config at these."""
        splits = dict(train_dataloader='train', val_dataloader='val', test_dataloader='val')
        options: dict[str, Any] = {f'{key}.dataset.data_root': str(self.root) for key in splits}
        if self.limits is not None:
            options.update({f'{key}.dataset.num_images': self.limits[split] for key, split in splits.items()})
        return options


def picture_data(kind: str, root: Path, budget: Budget, console: Console | None = None) -> PictureData:
    """Find and check the data.

    Args:
        kind: ``mnist`` or ``cifar10``.
        root: Folder of the files.
        budget: The budget; a smoke run uses few pictures.
        console: Says that they are read, which takes a second or two.

    Raises:
        ValueError: If files are missing or broken, or the budget is none for pictures.
    """
    check_budget(budget, kind)
    data = PictureData(kind, root, SMOKE_PICTURES if budget.name == 'smoke' else None)
    if console is None:
        data.check()
    else:
        with console.status(f'Reading {root}'):
            data.check()
    return data


def pixels_of_pictures(trial: Any, data: PictureData, metrics: Mapping[str, float]) -> dict[str, int]:
    """Pixels of the trainings and of the test per picture, what the nets see with its padding.

    Args:
        trial: The trial.
        data: What it was run on.
        metrics: Of the test; the pixels that a scale net has looked at are among them.
    """
    per_epoch, train = 0, 0
    for training in trial.trainings:
        dataset = training.cfg.train_dataloader.dataset
        epoch = len(dataset.sizes) * dataset.canvas**2
        per_epoch += epoch
        train += epoch * data.num_images('train') * training.epochs
    canvas = trial.cfg.test_dataloader.dataset.canvas
    test = canvas**2 + metrics.get('accuracy/scale_net_pixels', 0.0)
    return dict(train_per_image_epoch=per_epoch, train=train, test_per_image=round(test))
