"""Accuracy of classifiers and scale nets on pictures at several sizes, for ``mim test``."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric

VALIDATION = 'val'


def by_size(results: Sequence[dict[str, Any]], val_sizes: Sequence[int]) -> dict[str, list[dict[str, Any]]]:
    """Sort results by the size of the picture: those of the validation sizes together, first; then by size.

    Args:
        results: With the key ``size``, pixels.
        val_sizes: Sizes that are validation.
    """
    groups: dict[str, list[dict[str, Any]]] = {VALIDATION: []} if val_sizes else {}
    for size in sorted({result['size'] for result in results} - set(val_sizes)):
        groups[str(size)] = []
    for result in results:
        groups[VALIDATION if result['size'] in val_sizes else str(result['size'])].append(result)
    return {name: group for name, group in groups.items() if group}


class _BySize(BaseMetric):
    """Means of what a model says of each picture, by size.

    Args:
        val_sizes: Sizes that are put together as ``val``: those of the training.
        collect_device: ``cpu`` or ``gpu``.
        prefix: Before the names of the metrics.
    """

    def __init__(self, val_sizes: Sequence[int] = (), collect_device: str = 'cpu', prefix: str | None = None) -> None:
        super().__init__(collect_device, prefix)
        self.val_sizes = tuple(val_sizes)

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep a model's predictions of a batch."""
        self.results.extend(data_samples)

    def _means(self, results: Sequence[dict], of: dict[str, Callable[[Sequence[dict]], float]]) -> dict[str, float]:
        groups = by_size(results, self.val_sizes)
        return {f'{start}{name}': mean(group) for start, mean in of.items() for name, group in groups.items()}


@METRICS.register_module()
class PictureAccuracy(_BySize):
    """Share of the pictures that a classifier gets right, in [0, 1]: ``accuracy/val``, ``accuracy/28``, ...

    Of a ``RescalingClassifier`` also the accuracy with at most one rescale (``accuracy/once_28``), the mean number of
    rescales (``accuracy/rescales_28``), the share of pictures whose recursion did not end in range
    (``accuracy/open_28``), and, over all pictures, the mean number of pixels that the scale net has looked at
    (``accuracy/scale_net_pixels``).
    """

    default_prefix = 'accuracy'

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of all results."""
        of = {'': lambda group: float(np.mean([r['predicted'] == r['label'] for r in group]))}
        metrics = self._means(results, of)
        if results and 'rescales' in results[0]:
            of = {
                'once_': lambda group: float(np.mean([r['predicted_once'] == r['label'] for r in group])),
                'rescales_': lambda group: float(np.mean([r['rescales'] for r in group])),
                'open_': lambda group: float(np.mean([not r['ended'] for r in group])),
            }
            metrics.update(self._means(results, of))
            metrics['scale_net_pixels'] = float(np.mean([r['pixels'] for r in results]))
        return metrics


@METRICS.register_module()
class PictureScale(_BySize):
    """What a scale net predicts for pictures: ``scale/mean_28``, ``scale/std_28``, and ``scale/rmse_28``.

    A picture in which it sees no object counts as scale 0.
    """

    default_prefix = 'scale'

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Metrics of all results."""

        def predicted(group: Sequence[dict]) -> np.ndarray:
            return np.array([r['scale'] or 0.0 for r in group])

        def errors(group: Sequence[dict]) -> np.ndarray:
            return predicted(group) - np.array([r['true_scale'] for r in group])

        return self._means(
            results,
            {
                'mean_': lambda group: float(predicted(group).mean()),
                'std_': lambda group: float(predicted(group).std()),
                'rmse_': lambda group: float(np.sqrt(np.square(errors(group)).mean())),
            },
        )
