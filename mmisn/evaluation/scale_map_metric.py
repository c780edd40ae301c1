"""Accuracy of scale maps, for ``mim test``."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from terminaltables import AsciiTable

from mmisn.chips.pixel_rules import ClassRule, build_pixel_rule
from mmisn.models.scale_nets import ImageObjects, ScaleClasses, class_map, relative_scale_map

from .scale_map_eval import ClassCounts, RegressionCounts, SmallCounts, count_classes, count_relative, count_small


@METRICS.register_module()
class ScaleMapMetric(BaseMetric):
    """Accuracy of the scale maps of a ``ScaleNet``, pixel by pixel, in the image as the network sees it.

    The truth is made of the ground truth of the data samples, as in training: annotations are loaded before ``Resize``.
    Ignored pixels do not count. Of classes:

    - ``accuracy``: share of the pixels whose most probable class is right; ``object_accuracy``: of the pixels of
      objects; ``accuracy_background``, ``accuracy_8_16`` and so on: of the pixels of a class; ``mean_accuracy``: the
      mean over the classes that there are

    of relative scales:

    - ``rmse``, ``object_rmse``: root of the mean squared error, over all pixels and over those of objects;
      ``object_within``: share of the pixels of objects predicted at most a factor of sqrt(2) off

    and, where there is a ``rule``, of what is small by it:

    - ``small_recall``: share of the small objects of which at least half the pixels are predicted small. An object's
      pixels are those where it is on top: smaller objects and ignored regions hide the others; small objects that are
      hidden wholly do not count
    - ``small_objects``: their number; ``small_hidden``: how many are hidden wholly
    - ``small_pixels``: share of the pixels that are predicted small; ``small_precision``: share of these that show a
      small object

    Shares are of 1; what has no pixel or object is -1.

    Args:
        rule: Config of a pixel rule, as the chip generators have it, or ``None`` for the default: class 1 by the argmax
            rule, none for relative scales.
        collect_device: Of ``BaseMetric``.
        prefix: Of ``BaseMetric``.

    Raises:
        ValueError: If the rule is invalid or does not fit the maps.
    """

    default_prefix = 'scale_map'

    def __init__(self, rule: dict | None = None, collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        self.rule = None if rule is None else build_pixel_rule(rule)
        self.scale_classes: ScaleClasses | None = None

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of a batch; see ``BaseMetric``."""
        for sample in data_samples:
            if 'pred_scale_map' not in sample:
                raise ValueError(
                    f'{sample.get("img_path")}: there is no pred_scale_map; ScaleMapMetric is for ScaleNet'
                )
            self.results.append(self._count(sample))

    def _count(self, sample: dict) -> tuple[ClassCounts | RegressionCounts, SmallCounts | None]:
        predicted = sample['pred_scale_map']
        maps = predicted['maps'].cpu().numpy()
        objects = ImageObjects(sample, predicted['measure'])
        self.scale_classes, rule = predicted['scale_classes'], self.rule
        if self.scale_classes is not None:
            counts = count_classes(maps, class_map(objects.map, objects.scales, self.scale_classes))
            truths, rule = self.scale_classes.classes_of(objects.scales), rule or ClassRule((1,), threshold=None)
        else:
            maps, unit = maps[0], predicted['unit']
            counts = count_relative(maps, relative_scale_map(objects.map, objects.scales, objects.measure, unit))
            # As a map with one pixel per object.
            one_each = np.arange(len(objects.scales))
            truths = relative_scale_map(one_each, objects.scales, objects.measure, unit)
        small = None if rule is None else count_small(maps, objects.map, truths, objects.ignored, rule)
        return counts, small

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Add the counts of all images up.

        Args:
            results: Pairs of counts, one per image.
        """
        if not results:
            return {}
        total = results[0][0]
        for counts, _ in results[1:]:
            total = total + counts
        if isinstance(total, ClassCounts):
            values = self._class_values(total.confusion)
        else:
            values = dict(
                rmse=_share(total.squared_error, total.pixels, 0.5),
                object_rmse=_share(total.object_squared_error, total.object_pixels, 0.5),
                object_within=_share(total.object_within, total.object_pixels),
            )
        small = [s for _, s in results if s is not None]
        if small:
            values.update(_small_values(sum(small[1:], small[0])))
        rows = [['', 'value'], *([key, f'{value:.4g}'] for key, value in values.items())]
        MMLogger.get_current_instance().info(f'scale maps of {len(results)} images:\n{AsciiTable(rows).table}')
        return values

    def _class_values(self, confusion: np.ndarray) -> dict[str, float]:
        right, pixels = confusion.diagonal(), confusion.sum(axis=1)
        per_class = [_share(r, p) for r, p in zip(right, pixels)]
        values = dict(
            accuracy=_share(right.sum(), pixels.sum()),
            object_accuracy=_share(right[1:].sum(), pixels[1:].sum()),
            mean_accuracy=round(float(np.mean([a for a in per_class if a >= 0] or [-1])), 4),
        )
        names = [name.replace('-', '_').replace('+', '_inf') for name in self.scale_classes.names]
        values.update({f'accuracy_{name}': share for name, share in zip(names, per_class)})
        return values


def _small_values(counts: SmallCounts) -> dict[str, float]:
    return dict(
        small_recall=_share(counts.found, counts.objects),
        # MMEngine's log takes whole numbers for nothing.
        small_objects=float(counts.objects),
        small_hidden=float(counts.hidden),
        small_pixels=_share(counts.predicted, counts.pixels),
        small_precision=_share(counts.right, counts.predicted),
    )


def _share(part: Any, whole: Any, power: float = 1.0) -> float:
    return round(float((part / whole) ** power), 4) if whole else -1.0
