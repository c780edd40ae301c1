"""``ViewCostHook``: means over images, time of the steps after the first ones."""

import time
from types import SimpleNamespace

import pytest
from mmdet.registry import HOOKS
from mmdet.structures import DetDataSample
from mmengine.hooks import LoggerHook, RuntimeInfoHook
from mmengine.logging import MessageHub
from mmengine.runner import get_priority

from mmisn.engine import ViewCostHook


class Log:
    def __init__(self):
        self.lines = []
        self.logger = SimpleNamespace(info=self.lines.append)
        self.message_hub = MessageHub(f'costs of {id(self)}')


def sample(num_views, view_pixels, **others):
    return DetDataSample(metainfo=dict(num_views=num_views, view_pixels=view_pixels, **others))


def run(hook, steps, metrics, seconds=()):
    log = Log()
    hook.before_test_epoch(log)
    for i, outputs in enumerate(steps):
        hook.before_test_iter(log, i)
        time.sleep(seconds[i] if seconds else 0)
        hook.after_test_iter(log, i, outputs=outputs)
    hook.after_test_epoch(log, metrics)
    return log


def test_means_over_the_images():
    metrics = dict(ap=0.5)
    steps = [[sample(1, 1e6, scale_net_pixels=2e5), sample(3, 2e6, scale_net_pixels=4e5)], [sample(0, 0)]]
    hook = HOOKS.build(dict(type='ViewCostHook'))
    log = run(hook, steps, metrics)
    assert metrics['ap'] == 0.5
    assert metrics['cost/views'] == pytest.approx(4 / 3) and metrics['cost/mpix'] == pytest.approx(1.0)
    assert metrics['cost/scale_net_mpix'] == pytest.approx(0.2)
    assert log.lines[0].startswith('per image: views 1.333, mpix 1, scale_net_mpix 0.2, seconds ')
    # Counts begin anew.
    again = {}
    run(hook, [[sample(2, 5e5)]], again)
    assert again['cost/views'] == 2 and 'cost/scale_net_mpix' not in again


def test_costs_are_written_to_the_log_files():
    """They read the message hub, before which ``RuntimeInfoHook`` has put the other metrics there."""
    metrics = {}
    log = run(ViewCostHook(), [[sample(3, 2e6, scale_net_pixels=4e5)]], metrics)
    written = {key: buffer.current() for key, buffer in log.message_hub.log_scalars.items()}
    assert written == {f'test/{key}': value for key, value in metrics.items()} and len(written) == 4
    order = [get_priority(hook.priority) for hook in (RuntimeInfoHook, ViewCostHook, LoggerHook)]
    assert order == sorted(order) and len(set(order)) == 3


def test_first_steps_are_not_timed():
    metrics = {}
    run(ViewCostHook(warm_up=1), [[sample(1, 1)], [sample(1, 1)] * 2], metrics, seconds=(0.5, 0.04))
    assert 0.02 <= metrics['cost/seconds'] < 0.2
    # Unless there are no others.
    run(ViewCostHook(warm_up=1), [[sample(1, 1)]], metrics, seconds=(0.05,))
    assert 0.05 <= metrics['cost/seconds'] < 0.5


def test_other_detectors_have_no_views():
    metrics = {}
    run(ViewCostHook(), [[DetDataSample()]], metrics)
    assert metrics == {}


def test_bad_option():
    with pytest.raises(ValueError, match='warm_up'):
        ViewCostHook(warm_up=-1)
