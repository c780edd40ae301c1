import math
import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmdet.registry import TASK_UTILS

from mmisn.chips import PyramidChips, level_size, pyramid_views
from mmisn.structures import Chip, ScaleRange


def test_views_of_isn():
    generator = TASK_UTILS.build(dict(type='PyramidChips', factors=[4, 2, 1, 0.5, 0.25], flips=[False, True]))
    sizes = [(2560, 1920), (1280, 960), (640, 480), (320, 240), (160, 120)]
    expected = [Chip((0, 0, 640, 480), size, flip) for size in sizes for flip in (False, True)]
    assert generator.views((640, 480)) == expected


def test_order_of_levels_is_kept():
    views = pyramid_views((101, 50), [0.5, (200, 60), 3], flips=[True])
    # (200, 60): the short side binds, 60 / 50 = 1.2. Halves round up: 50.5 to 51.
    assert [v.size_wh for v in views] == [(51, 25), (121, 60), (303, 150)]
    assert all(v.xyxy == (0, 0, 101, 50) and v.flip for v in views)


def test_only_levels_that_are_too_large_are_tiled():
    views = pyramid_views((640, 480), [4, 1], flips=[False, True], max_pixels=1280 * 960, overlap=100)
    assert views[-2:] == [Chip.full((640, 480)), Chip.full((640, 480), flip=True)]
    tiles = views[:-2]
    assert [t.flip for t in tiles] == [False, True] * (len(tiles) // 2)
    assert [t.flipped(False) for t in tiles[::2]] == [t.flipped(False) for t in tiles[1::2]]
    # A square of 1228800 px has a side of 1108, at factor 4 of 277 px, of which 25 are shared: three columns, two rows.
    # The shortest sides with which as many reach: (640 + 2 * 25) / 3 = 230, (480 + 25) / 2 = 252.5.
    assert [t.xyxy for t in tiles[::2]] == [(x, y, x + 230, y + 253) for y in (0, 227) for x in (0, 205, 410)]
    assert {t.size_wh for t in tiles} == {(920, 1012)}


def test_oblong_tiles_where_fewer_of_them_reach():
    # A square of 1.31 Mpix has a side of 1144: three would be needed along 2560 px. Two of 1312 x 992 px reach, too.
    tiles = pyramid_views((640, 480), [4], max_pixels=1_310_000, overlap=64)
    assert [t.xyxy for t in tiles] == [(x, y, x + 328, y + 248) for y in (0, 232) for x in (0, 312)]
    assert {t.size_wh for t in tiles} == {(1312, 992)}
    # Two columns of 1312 x 1920 px would be more than max_pixels, five of 563 x 1920 px too long.
    assert len(pyramid_views((640, 480), [4], max_pixels=1_100_000, overlap=64)) == 6


def test_a_level_of_exactly_max_pixels_is_not_tiled():
    assert pyramid_views((640, 480), [2], max_pixels=1280 * 960) == [Chip.full((640, 480), (1280, 960))]
    assert len(pyramid_views((640, 480), [2], max_pixels=1280 * 960 - 1)) > 1


@st.composite
def tilings(draw):
    image_wh = draw(st.tuples(st.integers(1, 200), st.integers(1, 200)))
    level = draw(st.one_of(st.floats(0.2, 5), st.tuples(st.integers(20, 500), st.integers(20, 500))))
    overlap = draw(st.one_of(st.none(), st.integers(0, 20)))
    return image_wh, level, draw(st.integers(400, 20000)), overlap


@settings(deadline=None, max_examples=80)
@given(tilings())
def test_tiles(tiling):
    image_wh, level, max_pixels, overlap = tiling
    whole = level_size(image_wh, level)
    assume(whole[0] * whole[1] > max_pixels)
    try:
        tiles = pyramid_views(image_wh, [level], max_pixels=max_pixels, overlap=overlap)
    except ValueError:
        # Refused only when a tile of that many pixels is hardly longer than the overlap and a pixel of the original.
        pixel = math.ceil(max(size / side for size, side in zip(whole, image_wh)))
        assert math.isqrt(max_pixels) < (4 if overlap is None else overlap + 1) + 3 * pixel
        return
    assert len({(t.wh, t.size_wh) for t in tiles}) == 1 and len(set(tiles)) == len(tiles) > 1
    assert tiles[0].num_pixels <= max_pixels
    shown = np.zeros(image_wh[::-1], bool)
    for tile in tiles:
        x1, y1, x2, y2 = tile.xyxy
        assert x1 >= 0 and y1 >= 0 and x2 <= image_wh[0] and y2 <= image_wh[1]
        shown[y1:y2, x1:x2] = True
    assert shown.all()
    for axis in (0, 1):
        factor = tiles[0].factors[axis]
        starts = sorted({t.xyxy[axis] for t in tiles})
        length, size = tiles[0].wh[axis], tiles[0].size_wh[axis]
        shared = size / 4 if overlap is None else overlap
        for start, following in zip(starts, starts[1:]):
            assert (start + length - following) * factor >= shared - 1e-9
        # The factor is the level's, up to the rounding of the size.
        assert abs(size - length * whole[axis] / image_wh[axis]) <= 0.5 + 1e-9 or size == 1
    if all(tiles[0].wh[axis] < image_wh[axis] for axis in (0, 1)) and min(tiles[0].size_wh) >= 20:
        assert max(tiles[0].size_wh) <= 2 * min(tiles[0].size_wh)


@settings(deadline=None, max_examples=60)
@given(tilings(), st.integers(0, 2**32 - 1))
def test_an_object_up_to_the_overlap_lies_whole_in_some_tile(tiling, seed):
    image_wh, level, max_pixels, overlap = tiling
    assume(overlap)
    try:
        tiles = pyramid_views(image_wh, [level], max_pixels=max_pixels, overlap=overlap)
    except ValueError:
        assume(False)
    rng = np.random.default_rng(seed)
    longest = np.minimum(overlap / np.array(tiles[0].factors), image_wh) * (1 - 1e-12)
    corners = rng.uniform(0, 1, (200, 2)) * (image_wh - longest)
    corners[:100] = np.minimum(np.ceil(corners[:100]) - 1e-9, image_wh - longest).clip(0)
    boxes = np.concatenate([corners, np.minimum(corners + longest, image_wh)], axis=1)
    held = np.any([tile.encloses(boxes) for tile in tiles], axis=0)
    assert held.all(), boxes[~held]


def test_tiles_of_a_strip_keep_its_height():
    # Tiles of 100 px that share 19: 12 reach 991, so 13 are needed, for which (1000 + 12 * 19) / 13 = 94.5 px do.
    tiles = pyramid_views((1000, 10), [1], max_pixels=1000, overlap=19)
    assert [t.xyxy for t in tiles] == [(i * 905 // 12, 0, i * 905 // 12 + 95, 10) for i in range(13)]


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(factors=[0]), '0'),
        (dict(factors=[]), r'\[\]'),
        (dict(factors=[math.nan]), 'nan'),
        (dict(factors=[1], flips=[]), r'\[\]'),
        (dict(factors=[1], flips=True), 'True'),
        (dict(factors=[1], flips=['horizontal']), 'horizontal'),
        (dict(factors=[1], max_pixels=0), 'got 0'),
        (dict(factors=[1], max_pixels=1.5), 'got 1.5'),
        (dict(factors=[1], max_pixels=9, overlap=-1), 'got -1'),
        (dict(factors=[1], max_pixels=9, overlap=math.nan), 'got nan'),
        (dict(factors=[1], overlap=64), '64 has no effect without max_pixels'),
    ],
)
def test_invalid_arguments(kwargs, said):
    with pytest.raises(ValueError, match=said):
        PyramidChips(**kwargs)


def test_unknown_arguments():
    with pytest.raises(TypeError, match='flip'):
        TASK_UTILS.build(dict(type='PyramidChips', factors=[1], flip=True))


@pytest.mark.parametrize('max_pixels, overlap', [(10000, 100), (10000, 99), (2, None)])
def test_tiles_that_cannot_overlap_enough(max_pixels, overlap):
    generator = PyramidChips([2], max_pixels=max_pixels, overlap=overlap)
    with pytest.raises(ValueError, match=f'max_pixels = {max_pixels} .* {overlap or "a quarter"} px'):
        generator.views((640, 480))


def test_image_without_pixels():
    with pytest.raises(ValueError, match=r'\(0, 480\)'):
        PyramidChips([2]).views((0, 480))


def original(lower, upper=math.inf):
    return ScaleRange(lower, upper, frame='original')


SNIP = dict(
    factors=[(2000, 1400), (1200, 800), (800, 480)],
    scale_range=[original(0, 80), original(40, 160), original(120)],
)


def test_snip_trains_where_there_is_an_object_in_range():
    with warnings.catch_warnings():
        warnings.simplefilter('error')  # no gaps
        generator = PyramidChips(**SNIP)
    # 640x480 px at short sides 1400, 800 and 480.
    sizes = [(1867, 1400), (1067, 800), (640, 480)]
    rng = np.random.default_rng(0)
    # sqrt(w*h): 20, 60, 100, 110 and 300 px.
    boxes = np.array([[0, 0, s, s] for s in (20, 60, 100, 110, 300)], float)
    for chosen, levels in (([0], [0]), ([1], [0, 1]), ([2, 3], [1]), ([4], [2]), ([0, 4], [0, 2]), ([], [])):
        plan = generator.plan((640, 480), boxes[chosen], rng)
        assert plan.levels.tolist() == levels
        assert plan.chips == [Chip.full((640, 480), sizes[level]) for level in levels]
        assert [generator.plan_level(i, (640, 480), boxes[chosen], rng) for i in range(3)] == [
            [Chip.full((640, 480), sizes[i])] if i in levels else [] for i in range(3)
        ]
        assert len(plan.lost) == len(plan.out_of_range) == 0
        for level, (lower, upper) in enumerate(((0, 80), (40, 160), (120, math.inf))):
            factor = math.sqrt(sizes[level][0] / 640 * sizes[level][1] / 480)
            assert plan.view_ranges[level] == pytest.approx((lower * factor, upper * factor), rel=1e-12)


def test_an_object_on_a_bound_is_in_range_of_both_levels_and_one_beyond_all_of_none():
    generator = PyramidChips([2, 1], scale_range=[original(10, 30), original(30, 90)])
    plan = generator.plan((100, 80), np.array([[0, 0, 30, 30], [0, 0, 5, 5]], float), np.random.default_rng(0))
    assert [indices.tolist() for indices in plan.in_range] == [[0], [0]]
    assert plan.levels.tolist() == [0, 1] and plan.out_of_range.tolist() == [1] and plan.lost.tolist() == []


def test_one_range_for_all_levels():
    generator = PyramidChips([4, 2, 1], scale_range=(16, 560))
    assert generator.scale_ranges == (ScaleRange(16, 560),) * 3
    plan = generator.plan((64, 48), np.array([[0.0, 0, 8, 8]]), np.random.default_rng(0))
    assert [chip.size_wh for chip in plan.chips] == [(256, 192), (128, 96)]
    assert plan.view_ranges == [(16, 560)] * 3


@pytest.mark.parametrize('kwargs', [dict(max_pixels=100_000), dict(flips=(True,)), dict(flips=[False, True])])
def test_training_takes_whole_images_that_others_flip(kwargs):
    with pytest.raises(ValueError, match='leave out max_pixels and flips'):
        PyramidChips([4, 1], scale_range=(1, 9999), **kwargs)


def test_ranges_with_a_gap_are_warned_of():
    with pytest.warns(UserWarning, match=r'\(80, 90\) original px are in range of no level'):
        PyramidChips([(1400, 1400), (800, 800)], scale_range=[original(0, 80), original(90)])
    # [16, 40] is [4, 10] at factor 4.
    with pytest.warns(UserWarning, match=r'\(10, 16\) original px'):
        PyramidChips([4, 1], scale_range=(16, 40))


@pytest.mark.parametrize(
    'scale_range, said',
    [
        ([(0, 80), (40, 160)], '2 scale ranges for 3 levels'),
        ([(0, 80), (40, 160), (80, None), (1, 2)], '4 scale ranges for 3 levels'),
        ((90, 80), 'lower < upper'),
        (dict(lower=10, frame='image'), "frame must be one of .* got 'image'"),
        (dict(lower=10, measure='mask_area'), r'trains with boxes and cannot use the range \[10, inf\] px\^2'),
    ],
)
def test_invalid_ranges(scale_range, said):
    with pytest.raises(ValueError, match=said):
        PyramidChips([4, 2, 1], scale_range=scale_range)


def test_no_training_chip_without_a_range():
    generator = PyramidChips([4, 2, 1])
    assert generator.scale_ranges is None
    with pytest.raises(ValueError, match='needs scale_range'):
        generator.plan((640, 480), np.zeros((0, 4)), np.random.default_rng(0))
