"""Random numbers of one sample: they follow from a few whole numbers, and nobody else's are disturbed."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmdet.datasets.transforms import LoadAnnotations, PackDetInputs
from mmengine.dataset import Compose

from .transforms import CropChip, FilterByScale, PackInstanceInputs

# Transforms that draw no random numbers. Subclasses may, so that types are compared, not instances.
DRAW_NOTHING = frozenset(
    (LoadImageFromFile, LoadAnnotations, FilterByScale, CropChip, PackInstanceInputs, PackDetInputs)
)


class SampleIndex(NamedTuple):
    """What ``SeededSampler`` yields: the number of a sample, and everything that its random numbers follow from."""

    number: int
    epoch: int = 0
    seed: int = 0


def rng_of(entropy: tuple[int, ...]) -> np.random.Generator:
    """``np.random.default_rng(entropy)``, the same numbers in two thirds of the time.

    Args:
        entropy: Whole numbers, 0 at least.
    """
    # numpy turns a tuple into words number by number, an array of words at once; larger numbers are several words.
    words = np.array(entropy, np.uint32) if min(entropy) >= 0 and max(entropy) < 2**32 else entropy
    return np.random.default_rng(words)


def draws_numbers(pipeline: Callable) -> bool:
    """Whether a pipeline may draw from ``numpy.random`` or ``random``; no only where all of it is known not to."""
    return not isinstance(pipeline, Compose) or any(type(t) not in DRAW_NOTHING for t in pipeline.transforms)


@contextmanager
def global_numbers_of(entropy: tuple[int, ...]) -> Iterator[None]:
    """Draw global random numbers from ``entropy`` inside the block; the generators' states are put back after it.

    Saving and putting back takes 0.1 ms; see ``draws_numbers``.
    """
    states = np.random.get_state(), random.getstate()
    word = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    np.random.seed(word)
    random.seed(word)
    try:
        yield
    finally:
        np.random.set_state(states[0])
        random.setstate(states[1])
