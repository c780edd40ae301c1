"""Accuracy and predicted scale by the size of the picture."""

import pytest

from mmisn.evaluation import PictureAccuracy, PictureScale


def evaluate(metric, results):
    metric.process(None, results[:2])
    metric.process(None, results[2:])
    return metric.evaluate(len(results))


def test_accuracy_by_size():
    results = [
        dict(predicted=1, label=1, size=14),
        dict(predicted=1, label=2, size=16),
        dict(predicted=3, label=3, size=28),
        dict(predicted=3, label=3, size=16),
        dict(predicted=0, label=3, size=8),
    ]
    found = evaluate(PictureAccuracy(val_sizes=(14, 16, 18)), results)
    assert found == {'accuracy/val': pytest.approx(2 / 3), 'accuracy/8': 0.0, 'accuracy/28': 1.0}


def test_what_the_recursion_took():
    more = [
        dict(rescales=2, ended=True, pixels=100, predicted_once=1),
        dict(rescales=4, ended=False, pixels=300, predicted_once=7),
    ]
    results = [dict(predicted=1, label=1, size=28, **m) for m in more]
    results.append(dict(predicted=1, label=0, size=56, rescales=0, ended=True, pixels=200, predicted_once=0))
    assert evaluate(PictureAccuracy(), results) == {
        'accuracy/28': 1.0,
        'accuracy/56': 0.0,
        'accuracy/once_28': 0.5,
        'accuracy/once_56': 1.0,
        'accuracy/rescales_28': 3.0,
        'accuracy/rescales_56': 0.0,
        'accuracy/open_28': 0.5,
        'accuracy/open_56': 0.0,
        'accuracy/scale_net_pixels': 200.0,
    }


def test_predicted_scales():
    results = [
        dict(scale=1.1, true_scale=1.0, size=16),
        dict(scale=0.9, true_scale=1.0, size=16),
        dict(scale=None, true_scale=2.0, size=32),
    ]
    found = evaluate(PictureScale(val_sizes=(16,)), results)
    assert found['scale/mean_val'] == pytest.approx(1.0)
    assert found['scale/std_val'] == found['scale/rmse_val'] == pytest.approx(0.1)
    assert (found['scale/mean_32'], found['scale/rmse_32']) == (0.0, 2.0)
