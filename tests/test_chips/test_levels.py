import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.registry import TRANSFORMS

from mmisn.chips import (
    build_level_ranges,
    build_levels,
    check_level_gaps,
    level_chip_shape,
    level_factor,
    level_size,
)
from mmisn.structures import ScaleRange


@pytest.mark.parametrize(
    'levels, expected',
    [
        ([4, 0.5], (4.0, 0.5)),
        (((2000, 1400), [800, 1200], (512, 512)), ((2000, 1400), (1200, 800), (512, 512))),
        ([np.float32(0.25)], (0.25,)),
    ],
)
def test_build_levels(levels, expected):
    built = build_levels(levels)
    assert built == expected
    assert all(type(a) is type(b) for a, b in zip(built, expected))


@pytest.mark.parametrize(
    'levels, said',
    [
        ([1, 0], '0'),
        ([-2.0], '-2.0'),
        ([math.nan], 'nan'),
        ([math.inf], 'inf'),
        (['2'], "'2'"),
        ([True], 'True'),
        ([(800,)], r'\(800,\)'),
        ([(800, 0)], r'\(800, 0\)'),
        ([(800, -1)], r'\(800, -1\)'),
        ([(800.5, 600)], '800.5'),
        ([(math.nan, 600)], 'nan'),
        ([], r'\[\]'),
        (4, '4'),
    ],
)
def test_build_levels_refuses(levels, said):
    with pytest.raises(ValueError, match=said):
        build_levels(levels)


@pytest.mark.parametrize(
    'scale_range, expected',
    [
        ((16, 560), [(16, 560)] * 3),
        ((120, None), [(120, math.inf)] * 3),
        (None, [(0, math.inf)] * 3),
        ([(0, 80), (32, 150), (120, None)], [(0, 80), (32, 150), (120, math.inf)]),
        ([None, dict(lower=1, upper=2), ScaleRange(3, 4)], [(0, math.inf), (1, 2), (3, 4)]),
    ],
)
def test_build_level_ranges(scale_range, expected):
    assert [(r.lower, r.upper) for r in build_level_ranges(scale_range, 3)] == expected


@pytest.mark.parametrize('scale_range', [[(0, 80), (32, 150)], [], [(0, 80)]])
def test_number_of_ranges_must_be_that_of_levels(scale_range):
    with pytest.raises(ValueError, match=f'{len(scale_range)} scale ranges for 3 levels'):
        build_level_ranges(scale_range, 3)


@pytest.mark.parametrize('image_wh', [(640, 480), (427, 640), (333, 77), (1, 1)])
@pytest.mark.parametrize('level', [4.0, 1.667, 1.0, 0.5, 0.25, (1333, 800), (512, 512)])
def test_level_size_is_that_of_mmdet_resize(image_wh, level):
    # With keep_ratio, mmcv rounds a factor's size twice.
    kwargs = dict(scale=level, keep_ratio=True) if isinstance(level, tuple) else dict(scale_factor=level)
    resize = TRANSFORMS.build(dict(type='Resize', **kwargs))
    image = np.zeros((image_wh[1], image_wh[0], 3), np.uint8)
    if min(image_wh) == 1 and isinstance(level, float) and level < 0.5:
        assert level_size(image_wh, level) == (1, 1)  # Resize fails: it asks for 0 px
    else:
        height, width = resize(dict(img=image))['img'].shape[:2]
        assert level_size(image_wh, level) == (width, height)


@pytest.mark.parametrize(
    'image_wh, level, chip_size, rect_wh, size_wh',
    [
        ((640, 480), 4.0, 576, (144, 144), (576, 576)),
        ((640, 480), 2.0, 576, (288, 288), (576, 576)),
        ((640, 480), 1.0, 576, (576, 480), (576, 480)),
        ((640, 480), 0.5, 576, (640, 480), (320, 240)),
        ((576, 577), 1.0, 576, (576, 576), (576, 576)),
        ((641, 97), 0.25, 576, (641, 97), (160, 24)),
        ((1, 1), 0.25, 576, (1, 1), (1, 1)),
        # 160.25 rounds to the chip's size: shown whole, not cut to 160 / 0.25 = 640.
        ((641, 900), 0.25, 160, (641, 640), (160, 160)),
        ((640, 480), 1.667, 512, (307, 307), (512, 512)),
        ((640, 480), (512, 512), 512, (640, 480), (512, 384)),
        # Long side 2000 binds: factor 3.125; 512 / 3.125 = 163.84.
        ((640, 200), (2000, 1400), 512, (164, 164), (512, 512)),
        # One pixel shown 700 times larger is cut to the chip's size, its rectangle cannot be cut.
        ((1, 1), 700.0, 576, (1, 1), (576, 576)),
    ],
)
def test_level_chip_shape(image_wh, level, chip_size, rect_wh, size_wh):
    assert level_chip_shape(image_wh, level, chip_size) == (rect_wh, size_wh)


@settings(deadline=None, max_examples=150)
@given(
    st.tuples(st.integers(1, 3000), st.integers(1, 3000)),
    st.one_of(st.floats(0.05, 10), st.tuples(st.integers(50, 3000), st.integers(50, 3000))),
    st.integers(64, 1024),
)
def test_level_chip_shape_keeps_the_factor(image_wh, level, chip_size):
    rect_wh, size_wh = level_chip_shape(image_wh, level, chip_size)
    factor = level_factor(image_wh, level)
    for side, whole, rect, size in zip(image_wh, level_size(image_wh, level), rect_wh, size_wh):
        assert isinstance(rect, int) and isinstance(size, int)
        assert 1 <= rect <= side and 1 <= size <= chip_size
        assert (rect == side and size == whole) or (size == chip_size < whole)
        # Half a pixel of rounding, in the view and in the original; a side has at least one pixel.
        assert abs(size - rect * factor) <= max(0.5 + 0.5 * factor, 1, factor) + 1e-9


ISN_FACTORS = (4.0, 2.0, 1.0, 0.5, 0.25)


@pytest.mark.parametrize(
    'levels, ranges, gaps',
    [
        (ISN_FACTORS, (16, 560), []),
        ((4.0, 1.0), (16, 40), [(10, 16)]),
        ((1.0, 4.0, 0.25), (16, 32), [(8, 16), (32, 64)]),
        ((2.0, 1.0), (16, 32), []),  # they join at 16
        ((3.0, 1.0), (20, 60), []),  # they join at 20, up to rounding
        (((2560, 1920), 1.0), (16, 40), [(10, 16)]),  # factor 4 for a 640x480 image
    ],
)
def test_check_level_gaps(levels, ranges, gaps):
    ranges = build_level_ranges(ranges, len(levels))
    if gaps:
        with pytest.warns(UserWarning, match='original px') as caught:
            found = check_level_gaps(levels, ranges)
        for above, below in gaps:
            assert f'({above}, {below})' in str(caught[0].message)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            found = check_level_gaps(levels, ranges)
    np.testing.assert_allclose(np.array(found).reshape(-1, 2), np.array(gaps).reshape(-1, 2), rtol=1e-4)


def test_check_level_gaps_of_sizes_depend_on_the_image():
    levels, ranges = ((2560, 1920), 1.0), build_level_ranges((16, 40), 2)
    assert check_level_gaps(levels, ranges, image_wh=(1280, 960)) == []
