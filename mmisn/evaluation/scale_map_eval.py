"""How right a scale map is. Pure functions over one image; the counts of several images are added.

Shape shorthand: C classes, background included; h and w height and width of the image as the network sees it.
"""

from dataclasses import dataclass, fields

import numpy as np

from mmisn.chips.pixel_rules import PixelRule
from mmisn.models.scale_nets import IGNORED, IGNORED_SCALE


@dataclass
class ClassCounts:
    """Counts over pixels that are not ignored.

    Attributes:
        confusion: (C, C) int64, pixels by class (row) and by most probable class (column).
    """

    confusion: np.ndarray

    def __add__(self, other: 'ClassCounts') -> 'ClassCounts':
        return ClassCounts(self.confusion + other.confusion)


@dataclass
class RegressionCounts:
    """Sums over pixels that are not ignored.

    Attributes:
        pixels: Their number.
        squared_error: Sum of the squared errors of the relative scale.
        object_pixels: Those of objects.
        object_squared_error: Sum of the squared errors there.
        object_within: Those predicted at most a factor of sqrt(2) too small or too large.
    """

    pixels: int
    squared_error: float
    object_pixels: int
    object_squared_error: float
    object_within: int

    def __add__(self, other: 'RegressionCounts') -> 'RegressionCounts':
        return _added(self, other)


@dataclass
class SmallCounts:
    """Counts of objects that are too small by a rule, and of the pixels that are predicted so.

    Attributes:
        objects: Small objects of which some pixel is visible.
        found: Those of which at least half the visible pixels are predicted small.
        hidden: Small objects of which no pixel is visible, beneath smaller ones or ignored regions.
        pixels: Pixels that are not ignored.
        predicted: Those predicted small.
        right: Those predicted small that show a small object.
    """

    objects: int
    found: int
    hidden: int
    pixels: int
    predicted: int
    right: int

    def __add__(self, other: 'SmallCounts') -> 'SmallCounts':
        return _added(self, other)


def _added(a, b):
    return type(a)(*(getattr(a, f.name) + getattr(b, f.name) for f in fields(a)))


def count_classes(probabilities: np.ndarray, labels: np.ndarray) -> ClassCounts:
    """Compare the most probable classes with the true ones.

    Args:
        probabilities: (C, h, w).
        labels: (h, w) classes, ``IGNORED`` where there is no telling.
    """
    num_classes = len(probabilities)
    known = labels != IGNORED
    pairs = num_classes * labels[known].astype(np.int64) + probabilities.argmax(axis=0)[known]
    confusion = np.bincount(pairs, minlength=num_classes**2).reshape(num_classes, num_classes)
    return ClassCounts(confusion)


def count_relative(predicted: np.ndarray, truth: np.ndarray) -> RegressionCounts:
    """Compare relative scales.

    Args:
        predicted: (h, w) relative scales.
        truth: (h, w) relative scales, 0 for background, ``IGNORED_SCALE`` where there is no telling.
    """
    known, objects = truth != IGNORED_SCALE, truth > 0
    # In double precision: the sums run over many pixels.
    found, true = predicted.astype(np.float64), truth.astype(np.float64)
    squared = (found - true) ** 2
    within = (found * np.sqrt(2) >= true) & (found <= np.sqrt(2) * true)
    return RegressionCounts(
        int(known.sum()),
        float(squared[known].sum()),
        int(objects.sum()),
        float(squared[objects].sum()),
        int((within & objects).sum()),
    )


def count_small(
    scale_map: np.ndarray, objects: np.ndarray, truths: np.ndarray, ignored: np.ndarray, rule: PixelRule
) -> SmallCounts:
    """Count how many small objects a scale map shows.

    Args:
        scale_map: (C, h, w) probabilities or (h, w) relative scales.
        objects: (h, w) index of the object that each pixel shows; -1 is background, -2 ignored.
        truths: What a perfect map would say of each of the N objects: (N,) classes or (N,) relative scales.
        ignored: (N,) bool.
        rule: Which pixels, and so which objects, are small.
    """
    predicted, _ = rule.out_of_range(scale_map)
    # A map with one pixel per object is asked which of them are small.
    perfect = np.asarray(truths)[None]
    if scale_map.ndim == 3:
        perfect = (np.arange(len(scale_map))[:, None, None] == perfect).astype(np.float32)
    small = rule.out_of_range(perfect)[0][0] & ~ignored
    shown = objects >= 0
    visible = np.bincount(objects[shown], minlength=len(small))
    hit = np.bincount(objects[shown & predicted], minlength=len(small))
    known = objects != -2
    small_pixels = np.zeros(objects.shape, bool)
    small_pixels[shown] = small[objects[shown]]
    return SmallCounts(
        objects=int((small & (visible > 0)).sum()),
        found=int((small & (visible > 0) & (2 * hit >= visible)).sum()),
        hidden=int((small & (visible == 0)).sum()),
        pixels=int(known.sum()),
        predicted=int((predicted & known).sum()),
        right=int((predicted & small_pixels).sum()),
    )
