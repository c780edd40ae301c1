"""Tests of which pixels are out of range and by what a region is rescaled."""

import math

import numpy as np
import pytest

from mmisn.chips import ClassRule, RegressionRule, build_pixel_rule, check_scale_map, check_scale_maps, top_k

MAP = np.array([[0.0, 0.5, 0.99], [1.0, 1.05, 1.4]], np.float32)


@pytest.mark.parametrize(
    ('values', 'fraction', 'expected'),
    [
        ([3.0, 1.0, 2.0, 4.0], 0.5, 3.5),
        ([3.0, 1.0, 2.0, 4.0], 0.15, 4.0),  # rounds to one value
        ([3.0, 1.0, 2.0, 4.0], 1.0, 2.5),
        ([7.0], 0.01, 7.0),
        ([[1.0, 2.0], [3.0, 4.0]], 0.75, 3.0),
    ],
)
def test_top_k_is_the_mean_of_the_largest(values, fraction, expected):
    assert top_k(np.array(values), fraction) == pytest.approx(expected)


@pytest.mark.parametrize(('values', 'fraction'), [([], 0.5), ([1.0], 0.0), ([1.0], 1.5), ([1.0], math.nan)])
def test_top_k_of_nothing_is_an_error(values, fraction):
    with pytest.raises(ValueError, match='top_k'):
        top_k(np.array(values), fraction)


def test_regression_rule_marks_what_is_beyond_the_bounds():
    small, large = RegressionRule(lower=1.0, upper=1.05).out_of_range(MAP)
    # Both bounds are in range (1.05 in float32 is a little above 1.05); 0 is background.
    assert small.tolist() == [[False, True, True], [False, False, False]]
    assert large.tolist() == [[False, False, False], [False, bool(np.float32(1.05) > 1.05), True]]


def test_regression_rule_with_one_bound_or_none():
    small, large = RegressionRule(upper=1.2).out_of_range(MAP)
    assert not small.any() and large.sum() == 1
    small, large = RegressionRule(lower=0.6).out_of_range(MAP)
    assert small.sum() == 1 and not large.any()
    assert not any(side.any() for side in RegressionRule().out_of_range(MAP))


def test_regression_rule_leaves_faint_pixels_to_the_background():
    rule = RegressionRule(lower=0.9, background=0.5)
    assert not rule.out_of_range(MAP)[0].any()
    assert RegressionRule(lower=0.9, background=0.4).out_of_range(MAP)[0].sum() == 1
    assert rule.factor(MAP, MAP <= 0.5) is None


def test_regression_rule_rescales_by_one_by_top_k():
    rule = RegressionRule(lower=0.9, upper=1.1, top_k=0.5)
    region = np.array([[True, True, False], [False, True, True]])  # 0 (background), 0.5, 1.05, 1.4
    assert rule.factor(MAP, region) == pytest.approx(1 / ((1.05 + 1.4) / 2))
    assert rule.factor(MAP, np.array([[False, True, False], [False] * 3])) == pytest.approx(2.0)
    assert rule.factor(MAP, np.array([[False, False, True], [True, False, False]])) is None  # Top-K is 1: in range
    assert rule.factor(MAP, np.zeros((2, 3), bool)) is None


def class_map(labels, num_classes=4, confidence=0.7):
    labels = np.asarray(labels)
    rest = (1 - confidence) / (num_classes - 1)
    return np.where(labels == np.arange(num_classes)[:, None, None], confidence, rest)


def test_class_rule_by_threshold():
    probabilities = np.zeros((4, 1, 4))
    probabilities[1, 0] = [0.3, 0.31, 0.4, 0.0]
    probabilities[3, 0] = [0.0, 0.0, 0.5, 0.35]
    small, large = ClassRule(small=(1,), large=(3,)).out_of_range(probabilities)
    # At the threshold does not count; where both would, the more probable side has the pixel.
    assert small.tolist() == [[False, True, False, False]]
    assert large.tolist() == [[False, False, True, True]]


def test_class_rule_adds_the_probabilities_of_its_classes():
    probabilities = np.zeros((4, 1, 1))
    probabilities[1:3] = 0.2
    assert not ClassRule(small=(1,)).out_of_range(probabilities)[0].any()
    assert ClassRule(small=(1, 2)).out_of_range(probabilities)[0].all()


def test_class_rule_by_argmax():
    small, large = ClassRule(small=(1,), large=(3,), threshold=None).out_of_range(class_map([[0, 1, 2, 3]]))
    assert small.tolist() == [[False, True, False, False]]
    assert large.tolist() == [[False, False, False, True]]


def test_class_rule_factor_goes_with_the_majority():
    rule = ClassRule(small=(1,), large=(3,), threshold=None, factor=3.0)
    scale_map = class_map([[1, 1, 3, 0], [3, 3, 0, 0]])
    assert rule.factor(scale_map, np.array([[True] * 4, [False] * 4])) == 3.0
    assert rule.factor(scale_map, np.ones((2, 4), bool)) == pytest.approx(1 / 3)
    assert rule.factor(scale_map, np.array([[True, False, True, False], [False] * 4])) == 3.0  # a tie
    assert rule.factor(scale_map, scale_map.argmax(axis=0) == 0) is None


def test_rules_from_configs():
    assert build_pixel_rule(dict(type='RegressionRule', upper=1.05, top_k=0.1)) == RegressionRule(None, 1.05, 0.1)
    rule = build_pixel_rule(dict(type='ClassRule', small=[1, 2], threshold=None, factor=4))
    assert rule == ClassRule((1, 2), (), None, 4.0)
    assert build_pixel_rule(rule) is rule


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (None, 'a pixel rule is a dict'),
        (dict(lower=1.0), 'a pixel rule is a dict'),
        (dict(type='OtherRule'), 'OtherRule'),
        (dict(type='RegressionRule', low=1.0), "does not take {'low': 1.0}"),
        (dict(type='RegressionRule', lower=0.0), 'lower'),
        (dict(type='RegressionRule', lower=math.nan), 'lower'),
        (dict(type='RegressionRule', upper=math.inf), 'upper'),
        (dict(type='RegressionRule', lower=2.0, upper=1.0), 'lower < upper'),
        (dict(type='RegressionRule', top_k=0), 'top_k'),
        (dict(type='RegressionRule', lower=1.0, background=1.0), 'above background'),
        (dict(type='ClassRule', small=(0,)), 'small'),
        (dict(type='ClassRule', small=(), large=()), 'some classes'),
        (dict(type='ClassRule', small=(1,), large=(1,)), 'both small and large'),
        (dict(type='ClassRule', threshold=1.0), 'threshold'),
        (dict(type='ClassRule', factor=1.0), 'factor'),
    ],
)
def test_bad_rules_are_errors(cfg, message):
    with pytest.raises(ValueError, match=message):
        build_pixel_rule(cfg)


def test_rules_refuse_maps_of_the_other_kind():
    with pytest.raises(ValueError, match='take a ClassRule'):
        RegressionRule(upper=1.0).out_of_range(np.zeros((2, 3, 4)))
    with pytest.raises(ValueError, match='take a RegressionRule'):
        ClassRule().out_of_range(np.zeros((3, 4)))
    with pytest.raises(ValueError, match='at least 6 classes'):
        ClassRule(small=(5,)).out_of_range(np.zeros((5, 3, 4)))


@pytest.mark.parametrize(
    ('scale_map', 'message'),
    [
        (np.full((3, 4), np.nan), 'must be finite, 12 of its 12'),
        (np.array([[1.0, np.inf]]).repeat(2, axis=1).repeat(3, axis=0), 'must be finite, 6 of its 12'),
        (np.full((3, 4), -0.1), 'none below 0'),
        (np.zeros((4, 3)), r'height 3 and width 4, got shape \(4, 3\)'),
        (np.zeros((2, 4, 3)), 'height 3 and width 4'),
        (np.zeros(12), 'scale map is a'),
        (np.zeros((1, 2, 3, 4)), 'scale map is a'),
        (np.full((3, 4), 'a'), 'scale map is a'),
        (None, 'scale map is a'),
    ],
)
def test_bad_maps_are_errors(scale_map, message):
    with pytest.raises(ValueError, match=message):
        check_scale_map(scale_map, (4, 3))


def test_good_maps_pass_unchanged():
    assert check_scale_map(MAP, (3, 2)) is MAP
    assert check_scale_map([[0.0, 1.0]]).tolist() == [[0.0, 1.0]]
    with pytest.raises(ValueError, match='1 scale maps for 2 views'):
        check_scale_maps([MAP], [(3, 2), (3, 2)])
