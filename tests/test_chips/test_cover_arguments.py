import math

import numpy as np
import pytest
from mmdet.registry import TASK_UTILS

from mmisn.chips import CoverChips
from mmisn.structures import ScaleRange

ISN = dict(factors=(4, 2, 1, 0.5, 0.25), scale_range=(16, 560))


def test_registered():
    generator = TASK_UTILS.build(dict(type='CoverChips', factors=[4, (512, 512)], scale_range=[(16, 560), None]))
    assert isinstance(generator, CoverChips)
    assert generator.levels == (4.0, (512, 512))
    assert generator.scale_ranges == (ScaleRange(16, 560), ScaleRange())
    assert (generator.chip_size, generator.stride) == (576, (56, 60))
    with pytest.raises(TypeError, match='chip_sise'):
        TASK_UTILS.build(dict(type='CoverChips', chip_sise=576, **ISN))


@pytest.mark.parametrize(
    'changed, said',
    [
        (dict(factors=(4, 0)), '0'),
        (dict(factors=(4, math.nan)), 'nan'),
        (dict(factors=()), r'\(\)'),
        (dict(scale_range=[(0, 80), (32, 150)]), '2 scale ranges for 5 levels'),
        (dict(scale_range=(560, 16)), r'\[560.0, 16.0\]'),
        (dict(scale_range=(math.nan, 16)), 'nan'),
        (dict(scale_range=dict(lower=100, upper=900, measure='mask_area')), 'mask_area'),
        (dict(chip_size=63), 'max_stride = 64, got 63'),
        (dict(chip_size=576.5), '576.5'),
        (dict(chip_size=math.nan), 'nan'),
        (dict(chip_size=100, max_stride=128), 'max_stride = 128, got 100'),
        (dict(stride=57), 'got 57'),
        (dict(stride=(60, 56)), r'\(60, 56\)'),
        (dict(stride=(56, 56)), r'\(56, 56\)'),
        (dict(stride=(0, 5)), r'\(0, 5\)'),
        (dict(stride=(5.5, 6)), r'5\.5'),
        (dict(stride=(500, 600)), r'\(500, 600\)'),
    ],
)
def test_invalid_arguments(changed, said):
    with pytest.raises(ValueError, match=said):
        CoverChips(**(ISN | changed))


@pytest.mark.parametrize(
    'image_wh, boxes, said',
    [
        ((640, 0), np.zeros((0, 4)), r'\(640, 0\)'),
        ((640, 480), np.zeros((3, 5)), r'\(3, 5\)'),
        ((640, 480), np.array([(0, 0, 1, 1), (0, math.nan, 5, 5)]), r'\[0.0, nan, 5.0, 5.0\]'),
        ((640, 480), np.array([(0, 0, math.inf, 1)]), 'inf'),
    ],
)
def test_invalid_objects(image_wh, boxes, said):
    with pytest.raises(ValueError, match=said):
        CoverChips(**ISN).plan(image_wh, boxes, np.random.default_rng(0))


def test_levels_that_leave_a_gap_are_warned_of():
    with pytest.warns(UserWarning, match=r'\(10, 16\)'):
        CoverChips((4, 1), (16, 40))
