"""The metric against plain loops over pixels and objects."""

import math

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmdet.structures import DetDataSample
from mmdet.structures.mask import BitmapMasks
from mmengine.structures import InstanceData, PixelData

from mmisn.models.scale_nets import ScaleClasses

CLASSES = ScaleClasses((16, 100), 'mask_area')


def sample(maps, masks, ignored=(), classes=CLASSES, unit=None):
    """A data sample as the metric gets it; ``masks`` and ``ignored`` are lists of (h, w) bool arrays."""
    size = maps.shape[-2:]
    made = DetDataSample(metainfo=dict(img_shape=size, img_path='a.jpg'))
    for key, of_part in (('gt_instances', masks), ('ignored_instances', ignored)):
        stacked = np.array(of_part, np.uint8).reshape(-1, *size)
        boxes = torch.tensor([[0, 0, *size[::-1]]] * len(stacked), dtype=torch.float32).reshape(-1, 4)
        setattr(made, key, InstanceData(bboxes=boxes, masks=BitmapMasks(stacked, *size)))
    about = dict(scale_classes=classes, measure='mask_area', unit=unit)
    made.pred_scale_map = PixelData(metainfo=about, maps=torch.from_numpy(np.asarray(maps, np.float32)))
    return made.to_dict()


def one_hot(labels, num_classes=4):
    return (np.arange(num_classes)[:, None, None] == np.asarray(labels)).astype(np.float32)


def run(samples, **options):
    metric = METRICS.build(dict(type='ScaleMapMetric', **options))
    for part in samples:
        metric.process({}, [part])
    return {k.removeprefix('scale_map/'): v for k, v in metric.evaluate(len(samples)).items()}


def random_samples(num=3, size=(21, 26), seed=0):
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(num):
        masks = []
        for _ in range(9):
            y, x = rng.integers(0, size[0] - 2), rng.integers(0, size[1] - 2)
            h, w = rng.integers(1, 15, 2)
            mask = np.zeros(size, bool)
            mask[y : y + h, x : x + w] = True
            masks.append(mask)
        logits = rng.normal(size=(4, *size)) * 2
        maps = np.exp(logits) / np.exp(logits).sum(axis=0)
        made.append((maps.astype(np.float32), masks[:7], masks[7:]))
    return made


def by_loops(samples, is_small_pixel):
    """Everything, from (maps, masks, ignored) of each image, without any function of mmisn."""
    confusion, small, recall = np.zeros((4, 4)), [], []
    for maps, masks, ignored in samples:
        areas = [m.sum() for m in masks + ignored]
        labels = [1 if a < 16 else 2 if a < 100 else 3 for a in areas]
        visible = [[] for _ in masks]
        for y in range(maps.shape[1]):
            for x in range(maps.shape[2]):
                here = [i for i, m in enumerate(masks + ignored) if m[y, x]]
                # The smallest; of equals the last.
                top = min(here, key=lambda i: (areas[i], -i), default=None)
                if top is not None and top >= len(masks):
                    continue
                truth = 0 if top is None else labels[top]
                confusion[truth, maps[:, y, x].argmax()] += 1
                small.append((is_small_pixel(maps[:, y, x]), truth == 1))
                if top is not None:
                    visible[top].append(is_small_pixel(maps[:, y, x]))
        recall += [np.mean(v) >= 0.5 for i, v in enumerate(visible) if v and labels[i] == 1]
    predicted, true = np.array(small).T
    return confusion, np.mean(recall), len(recall), predicted.mean(), true[predicted].mean()


@pytest.mark.parametrize(
    'rule, is_small_pixel',
    [
        (None, lambda p: p.argmax() == 1),
        (dict(type='ClassRule', small=(1,), threshold=0.3), lambda p: p[1] > np.float32(0.3)),
    ],
)
def test_against_loops_over_pixels(rule, is_small_pixel):
    samples = random_samples()
    found = run([sample(*s) for s in samples], rule=rule)
    confusion, recall, num_small, predicted, precision = by_loops(samples, is_small_pixel)
    right = confusion.diagonal()
    per_class = right / confusion.sum(axis=1)
    expected = dict(
        accuracy=right.sum() / confusion.sum(),
        object_accuracy=right[1:].sum() / confusion[1:].sum(),
        mean_accuracy=per_class.mean(),
        accuracy_background=per_class[0],
        accuracy_0_4=per_class[1],
        accuracy_4_10=per_class[2],
        accuracy_10_inf=per_class[3],
        small_recall=recall,
        small_pixels=predicted,
        small_precision=precision,
    )
    assert num_small > 3 and 0 < recall < 1
    assert {k: found[k] for k in expected} == pytest.approx(expected, abs=6e-5)
    assert found['small_objects'] == num_small


def half(size, *rows):
    mask = np.zeros(size, bool)
    mask[list(rows)] = True
    return mask


def test_half_of_an_object_is_enough():
    """4x2 px: rows 0 and 1 are a small object; predicted small in 2, then in 1 of its 4 pixels."""
    mask = half((4, 2), 0, 1)
    for labels, recall in (([[1, 1], [0, 0], [0, 0], [0, 0]], 1), ([[1, 0], [0, 0], [0, 0], [0, 0]], 0)):
        assert run([sample(one_hot(labels), [mask])])['small_recall'] == recall


def test_hidden_objects_do_not_count_and_visible_parts_do():
    size = (4, 3)
    whole, beneath, part = half(size, 0, 1, 2), half(size, 1), half(size, 1)
    # ``beneath`` lies wholly under ``part``, of the same size and later; of ``whole``, rows 0 and 2 are visible.
    labels = np.zeros(size, int)
    labels[0] = 1
    found = run([sample(one_hot(labels), [whole, beneath, part])])
    assert (found['small_objects'], found['small_hidden']) == (2, 1)
    assert found['small_recall'] == 0.5  # whole: 3 of 6 visible pixels; part: none
    assert found['small_precision'] == 1 and found['small_pixels'] == 0.25
    # Beneath an ignored region nothing is known.
    found = run([sample(one_hot(labels), [part], [half(size, 1)])])
    assert (found['small_objects'], found['small_hidden'], found['small_recall']) == (0, 1, -1)


def test_all_background_and_all_ignored():
    found = run([sample(one_hot(np.zeros((3, 5), int)), [])])
    assert found['accuracy'] == found['accuracy_background'] == found['mean_accuracy'] == 1
    assert found['object_accuracy'] == found['accuracy_0_4'] == found['small_recall'] == -1
    assert (found['small_objects'], found['small_pixels'], found['small_precision']) == (0, 0, -1)
    found = run([sample(one_hot(np.zeros((3, 5), int)), [], [np.ones((3, 5), bool)])])
    assert {v for k, v in found.items() if k not in ('small_objects', 'small_hidden')} == {-1}


def test_a_perfect_map():
    _, masks, ignored = random_samples(1)[0]
    # Whatever is predicted where nothing is known does not count.
    labels = np.zeros((21, 26), int)
    for mask in sorted(masks, key=lambda m: -m.sum()):
        labels[mask] = 1 if mask.sum() < 16 else 2 if mask.sum() < 100 else 3
    found = run([sample(one_hot(labels), masks)])
    assert found['accuracy'] == found['small_recall'] == found['small_precision'] == 1


def relative(masks, size, unit):
    truth = np.zeros(size)
    for mask in sorted(masks, key=lambda m: -m.sum()):
        truth[mask] = math.sqrt(mask.sum()) / unit
    return truth


def test_relative_scales():
    maps, masks, _ = random_samples(1, seed=5)[0]
    truth = relative(masks, (21, 26), 5.0)
    predicted = truth * np.where(maps[0] > 0.3, 1.6, 0.8) + 0.05
    options = dict(rule=dict(type='RegressionRule', lower=0.8, background=0.1))
    found = run([sample(predicted[None], masks, classes=None, unit=5.0)], **options)
    assert found['rmse'] == pytest.approx(np.sqrt(np.mean((predicted - truth) ** 2)), abs=1e-4)
    on = truth > 0
    assert found['object_rmse'] == pytest.approx(np.sqrt(np.mean((predicted - truth)[on] ** 2)), abs=1e-4)
    ratio = predicted[on] / truth[on]
    assert found['object_within'] == pytest.approx(np.mean((ratio <= 2**0.5) & (ratio >= 0.5**0.5)), abs=6e-5)
    small = (predicted > 0.1) & (predicted < 0.8)
    # Areas below 16 px: sqrt(16) / 5 = 0.8 is the lower bound.
    small_true = (truth > 0) & (truth < 0.8)
    assert found['small_pixels'] == pytest.approx(small.mean(), abs=6e-5)
    assert found['small_precision'] == pytest.approx(small_true[small].mean(), abs=6e-5)
    assert found['small_objects'] + found['small_hidden'] == sum(m.sum() < 16 for m in masks)
    # Without a rule nothing is small.
    found = run([sample(truth[None], masks, classes=None, unit=5.0)])
    assert found == dict(rmse=0, object_rmse=0, object_within=1)


def test_rules_and_samples_that_do_not_fit():
    with pytest.raises(ValueError, match='RegressionRule reads'):
        run([sample(one_hot(np.zeros((3, 5), int)), [])], rule=dict(type='RegressionRule', lower=0.5))
    with pytest.raises(ValueError, match='type is one of'):
        METRICS.build(dict(type='ScaleMapMetric', rule=dict(small=(1,))))
    with pytest.raises(ValueError, match='b.jpg: there is no pred_scale_map'):
        METRICS.build(dict(type='ScaleMapMetric')).process({}, [dict(img_path='b.jpg')])
