"""Tests of rectangles that cover pixels."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import CoverGrid, cover_pixels
from mmisn.structures import Chip

GRID = CoverGrid(cell=32, context=16, min_size=64, overhead=0)


def mark(size_wh, *boxes):
    pixels = np.zeros(size_wh[::-1], bool)
    for x1, y1, x2, y2 in boxes:
        pixels[y1:y2, x1:x2] = True
    return pixels


def test_nothing_is_covered_by_nothing():
    assert cover_pixels(mark((64, 48)), Chip.full((640, 480)), GRID) == []


def test_rectangle_lies_on_the_grid_with_context():
    # Map pixels of 10x10: 200..240 and 150..180, with context 184..256 and 134..196.
    pixels = mark((64, 48), (20, 15, 24, 18))
    assert cover_pixels(pixels, Chip.full((640, 480)), GRID) == [Chip((160, 128, 256, 224), (96, 96))]
    # At x2: 384..496 (400..480 and context) and 284..376.
    chips = cover_pixels(pixels, Chip.full((640, 480), (1280, 960)), GRID)
    assert chips == [Chip((192, 128, 256, 192), (128, 128))]


def test_short_rectangles_grow_and_stay_inside():
    grid = CoverGrid(cell=16, context=0, min_size=100, overhead=0)
    chips = cover_pixels(mark((320, 240), (0, 0, 2, 2), (318, 238, 320, 240)), Chip.full((320, 240)), grid)
    assert chips == [Chip((0, 0, 112, 112), (112, 112)), Chip((208, 128, 320, 240), (112, 112))]


def test_a_part_of_a_cell_at_the_border_is_no_cell():
    grid = CoverGrid(cell=16, context=0, min_size=100, overhead=0)
    # Seven cells from 224 on would end after 97 px, at the border of the view.
    chips = cover_pixels(mark((321, 240), (319, 0, 321, 2)), Chip.full((321, 240)), grid)
    assert chips == [Chip((208, 0, 321, 112), (113, 112))]
    # One of a single column of pixels, with cells of 9 px.
    pixels = mark((1, 97), (0, 95, 1, 96))
    assert cover_pixels(pixels, Chip.full((1, 97)), CoverGrid(1, 0, 9, 0, max_cells=12)) == [
        Chip((0, 81, 1, 97), (1, 16))
    ]


def test_level_smaller_than_a_rectangle_is_taken_whole():
    whole = Chip.full((50, 40))
    assert cover_pixels(mark((50, 40), (3, 3, 4, 4)), whole, GRID) == [whole]


def test_overhead_joins_rectangles():
    pixels = mark((640, 64), (40, 20, 50, 30), (240, 20, 250, 30))
    apart = cover_pixels(pixels, Chip.full((640, 64)), GRID)
    assert [c.xyxy for c in apart] == [(0, 0, 96, 64), (224, 0, 288, 64)]
    joined = cover_pixels(pixels, Chip.full((640, 64)), CoverGrid(32, 16, 64, overhead=10_000))
    assert [c.xyxy for c in joined] == [(0, 0, 288, 64)]


def test_rectangles_as_dear_as_the_level_are_the_level():
    whole = Chip.full((640, 480))
    assert cover_pixels(np.ones((48, 64), bool), whole, GRID) == [whole]
    corners = mark((64, 48), (0, 0, 1, 1), (63, 0, 64, 1), (0, 47, 1, 48), (63, 47, 64, 48))
    assert len(cover_pixels(corners, whole, GRID)) == 4
    assert cover_pixels(corners, whole, CoverGrid(32, 16, 64, overhead=400_000)) == [whole]


def test_cells_are_bounded():
    grid = CoverGrid(cell=8, context=0, min_size=1, overhead=0, max_cells=10)
    assert grid.cell_of((80, 40)) == 8 and grid.cell_of((81, 40)) == 16 and grid.cell_of((8000, 10)) == 800
    rng = np.random.default_rng(0)
    chips = cover_pixels(rng.random((200, 200)) < 0.0005, Chip.full((4000, 4000)), grid)
    assert all(v % 400 == 0 for c in chips for v in c.xyxy)


@settings(max_examples=80, deadline=None)
@given(
    image_wh=st.tuples(st.integers(1, 120), st.integers(1, 120)),
    factor=st.floats(0.25, 4.0),
    map_share=st.floats(0.2, 1.5),
    density=st.floats(0.0, 0.05),
    cell=st.integers(1, 40),
    context=st.integers(0, 20),
    min_size=st.integers(1, 90),
    overhead=st.sampled_from([0, 500, 4096]),
    seed=st.integers(0, 2**16),
)
def test_every_pixel_is_covered_with_its_context(
    image_wh, factor, map_share, density, cell, context, min_size, overhead, seed
):
    rng = np.random.default_rng(seed)
    whole = Chip.full(image_wh, tuple(max(1, round(s * factor)) for s in image_wh))
    map_wh = tuple(max(1, round(s * map_share)) for s in image_wh)
    pixels = rng.random(map_wh[::-1]) < density
    chips = cover_pixels(pixels, whole, CoverGrid(cell, context, min_size, overhead, max_cells=12))
    assert bool(chips) == pixels.any()
    assert sum(c.num_pixels for c in chips) <= 1.3 * whole.num_pixels + 200 * len(chips) or chips == [whole]
    for y, x in zip(*pixels.nonzero()):
        # The pixel in the level's view, with context, inside the view; then in original pixels.
        low = [max(0.0, v * s / m - context) for v, s, m in zip((x, y), whole.size_wh, map_wh)]
        high = [min(s, (v + 1) * s / m + context) for v, s, m in zip((x, y), whole.size_wh, map_wh)]
        box = whole.boxes_to_image(np.array([[*low, *high]]))[0]
        inside = [
            a <= box[0] + 1e-6 and b <= box[1] + 1e-6 and c >= box[2] - 1e-6 and d >= box[3] - 1e-6
            for a, b, c, d in (chip.xyxy for chip in chips)
        ]
        assert any(inside)
    for chip in chips:
        x1, y1, x2, y2 = chip.xyxy
        assert x1 >= 0 and y1 >= 0 and x2 <= image_wh[0] and y2 <= image_wh[1]
        assert chip == whole or all(
            size >= min(min_size, limit) - 1 for size, limit in zip(chip.size_wh, whole.size_wh)
        )


def test_joining_ends_where_no_pair_gains():
    rng = np.random.default_rng(5)
    grid = CoverGrid(cell=16, context=4, min_size=32, overhead=1000)
    chips = cover_pixels(rng.random((60, 80)) < 0.004, Chip.full((640, 480)), grid)
    assert len(chips) > 3
    for a, b in itertools.combinations(chips, 2):
        x1, y1 = np.minimum(a.xyxy[:2], b.xyxy[:2])
        x2, y2 = np.maximum(a.xyxy[2:], b.xyxy[2:])
        assert (x2 - x1) * (y2 - y1) + 1000 >= a.num_pixels + b.num_pixels + 2000


@pytest.mark.parametrize('name', ['cell', 'context', 'min_size', 'overhead', 'max_cells'])
@pytest.mark.parametrize('value', [-1, 1.5, True])
def test_bad_options_are_errors(name, value):
    with pytest.raises(ValueError, match=name):
        CoverGrid(**{name: value})
