"""Small pictures of one object each, resampled to several sizes: the data of ScaleNet's classification experiments.

Shape shorthand: h and w of a picture as it is given to the network, C channels (1 grey or 3 BGR).
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import DATASETS
from torch.utils.data import Dataset

from mmisn.chips.rescale import fit_canvas, resize_picture

from .cifar10 import read_cifar10
from .idx_files import read_mnist
from .sample_random import SampleIndex, rng_of

SizeAndNumber = int | Sequence[int]
# Parts of the training set: the last pictures are held out, to choose settings on after a training on the others.
HELD_OUT = 5000
PARTS = {'train_part': slice(None, -HELD_OUT), 'held_out': slice(-HELD_OUT, None)}


class PicturesAtSizes(Dataset):
    """Every picture at every size, padded to a canvas with the object centred (ScaleNet, experiments).

    All pictures of a size follow each other, so that a batch without shuffling has pictures of one size. An item is a
    dict of ``inputs`` ((C, h, w) uint8 tensor), ``labels`` (class), ``sizes`` (side of the resampled picture, pixels),
    ``scales`` (that side relative to ``unit_size``) and ``index`` (of the picture). A picture that is larger than the
    canvas is given whole: h and w are the size or the canvas, whichever is larger.

    Args:
        data_root: Folder of the files.
        split: ``train`` or ``test``; or ``held_out``, the last 5,000 pictures of the training set, for settings to be
            chosen on after a training on ``train_part``, its others.
        sizes: Sides in pixels that the pictures are resampled to; a size may be a pair with the number of pictures, the
            first ones, that it is made of.
        canvas: Side in pixels that smaller pictures are padded to with zeros.
        unit_size: The side whose relative scale is 1.
        num_images: Keep the first pictures only, all for ``None``.
        detour: Smallest and largest side in pixels of a random size that each picture is resampled to on the way, so
            that a net cannot tell sizes by how sharp the resampling has left the edges; ``None`` for no detour. The
            size follows from (seed, epoch, number) of the item alone: train with ``SeededSampler``, since a plain index
            is one of epoch 0 and seed 0.

    Raises:
        ValueError: If an argument is out of its domain, or the files are missing or broken.
    """

    def __init__(
        self,
        data_root: str,
        split: str,
        sizes: Sequence[SizeAndNumber],
        canvas: int,
        unit_size: int,
        num_images: int | None = None,
        detour: tuple[int, int] | None = None,
    ) -> None:
        for key, value in dict(canvas=canvas, unit_size=unit_size, num_images=num_images).items():
            if not (value is None and key == 'num_images') and not _is_positive(value):
                raise ValueError(f'{type(self).__name__}.{key} must be a whole number above 0, got {value!r}')
        if detour is not None and not (len(detour) == 2 and all(map(_is_positive, detour)) and detour[0] <= detour[1]):
            raise ValueError(f'{type(self).__name__}.detour must be a smallest and a largest side, got {detour!r}')
        self.detour = detour
        part = PARTS.get(split, slice(None))
        found = self.read(data_root, 'train' if split in PARTS else split)
        if split in PARTS and len(found[0]) <= HELD_OUT:
            raise ValueError(
                f'{type(self).__name__}: split {split!r} parts the training set from its last {HELD_OUT} pictures and '
                f'needs more than {HELD_OUT}, {str(data_root)!r} has {len(found[0])}'
            )
        self.images, self.labels = (both[part][:num_images] for both in found)
        self.canvas, self.unit_size = canvas, unit_size
        pairs = [self._pair(size) for size in sizes]
        if not pairs or len({size for size, _ in pairs}) < len(pairs):
            raise ValueError(f'{type(self).__name__}.sizes must name at least one size, each once, got {sizes!r}')
        self.sizes = np.repeat([size for size, _ in pairs], [number for _, number in pairs])
        self._drawn: tuple[tuple[int, int] | None, np.ndarray] = (None, np.zeros(0, np.int64))
        self.indices = np.concatenate([np.arange(number) for _, number in pairs])

    @staticmethod
    def read(data_root: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of a split."""
        raise NotImplementedError

    def _pair(self, size: SizeAndNumber) -> tuple[int, int]:
        pair = (size, len(self.images)) if isinstance(size, int) else tuple(size)
        if len(pair) != 2 or not all(map(_is_positive, pair)):
            raise ValueError(
                f'{type(self).__name__}.sizes holds sides in pixels or pairs (side, number of pictures), got {size!r}'
            )
        return pair[0], min(pair[1], len(self.images))

    def __len__(self) -> int:
        return len(self.sizes)

    def _sides_of_detours(self, seed: int, epoch: int) -> np.ndarray:
        # Drawn for all items at once: a generator for each of them takes as long as to resample it.
        if self._drawn[0] != (seed, epoch):
            sides = rng_of((seed, epoch)).integers(*self.detour, size=len(self), endpoint=True)
            self._drawn = (seed, epoch), sides
        return self._drawn[1]

    def __getitem__(self, index: int | tuple[int, int, int]) -> dict[str, Any]:
        item, epoch, seed = index if isinstance(index, tuple) else SampleIndex(index)
        number, size = int(self.indices[item]), int(self.sizes[item])
        picture = self.images[number]
        if self.detour is not None:
            side = int(self._sides_of_detours(seed, epoch)[item])
            picture = resize_picture(picture, (side, side))
        picture = resize_picture(picture, (size, size))
        picture = fit_canvas(picture, max(size, self.canvas))
        return dict(
            inputs=as_tensor(picture),
            labels=int(self.labels[number]),
            sizes=size,
            scales=size / self.unit_size,
            index=number,
        )


def as_tensor(picture: np.ndarray) -> torch.Tensor:
    """(h, w) or (h, w, C) picture as a (C, h, w) tensor of its dtype."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


@DATASETS.register_module()
class MNISTAtSizes(PicturesAtSizes):
    """MNIST's digits at several sizes; see ``PicturesAtSizes`` and ``read_mnist``."""

    read = staticmethod(read_mnist)


@DATASETS.register_module()
class CIFAR10AtSizes(PicturesAtSizes):
    """CIFAR-10's images at several sizes; see ``PicturesAtSizes`` and ``read_cifar10``."""

    read = staticmethod(read_cifar10)
