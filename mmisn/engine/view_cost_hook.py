"""What testing with a ``ChipDetector`` costs: views, pixels and seconds per image."""

import time
from collections.abc import Sequence

import torch
from mmdet.registry import HOOKS
from mmengine.dist import all_reduce
from mmengine.runner import Runner

from .class_names_hook import ClassNamesHook


@HOOKS.register_module()
class ViewCostHook(ClassNamesHook):
    """Adds the cost of testing to the metrics, as means over the images that tell of their views.

    ``cost/views``, ``cost/mpix`` (pixels that the detector has looked at, in millions), ``cost/scale_net_mpix`` (those
    of a scale net, where there is one) and ``cost/seconds`` (of a step of testing, per image, without loading).

    Tests that have this hook have the check of class names as well, see ``ClassNamesHook``.

    Args:
        warm_up: Steps at the beginning whose time does not count, unless there are no others.

    Raises:
        ValueError: If ``warm_up`` is negative.
    """

    # Before the hooks that write the metrics down.
    priority = 'NORMAL'

    def __init__(self, warm_up: int = 2) -> None:
        if not warm_up >= 0:
            raise ValueError(f'ViewCostHook.warm_up must be a number of steps >= 0, got {warm_up!r}')
        super().__init__()
        self.warm_up = warm_up
        self._reset()

    def _reset(self) -> None:
        # Images, views, pixels, pixels of the scale net; then timed images and their seconds.
        self._sums = torch.zeros(4, dtype=torch.float64)
        self._timed = torch.zeros(2, dtype=torch.float64)
        self._steps, self._start = 0, 0.0

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin to count."""
        self._reset()

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Start the clock."""
        self._start = time.perf_counter()

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence | None = None
    ) -> None:
        """Count the views of the images of a step."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self._start
        samples = [s for s in outputs or () if 'view_pixels' in s]
        for sample in samples:
            costs = [1, sample.num_views, sample.view_pixels, sample.get('scale_net_pixels', 0)]
            self._sums += torch.tensor(costs, dtype=torch.float64)
        if self._steps == self.warm_up:
            self._timed.zero_()
        self._timed += torch.tensor([len(outputs or ()), seconds], dtype=torch.float64)
        self._steps += 1

    def after_test_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add the means to the metrics."""
        all_reduce(self._sums)
        all_reduce(self._timed)
        images, views, pixels, net_pixels = self._sums.tolist()
        if metrics is None or images == 0:
            return
        costs = {'cost/views': views / images, 'cost/mpix': pixels / images / 1e6}
        if net_pixels:
            costs['cost/scale_net_mpix'] = net_pixels / images / 1e6
        costs['cost/seconds'] = self._timed[1].item() / max(1.0, self._timed[0].item())
        metrics.update(costs)
        for key, value in costs.items():
            # The hook that hands the metrics on to the log files has run before.
            runner.message_hub.update_scalar(f'test/{key}', value)
        spelled = ', '.join(f'{k.split("/")[1]} {v:.4g}' for k, v in costs.items())
        runner.logger.info(f'per image: {spelled}')
