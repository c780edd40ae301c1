"""Tests of windows over a set of pixels."""

import numpy as np
import pytest

from mmisn.chips import densest_window, window_chip, without_enclosed
from mmisn.structures import Chip


def count_in(pixels, x, y, width, height, margin):
    """Pixels that count, by the definition: one by one."""
    h, w = pixels.shape
    left = 0 if x == 0 else x + margin
    top = 0 if y == 0 else y + margin
    right = w if x + width == w else x + width - margin
    bottom = h if y + height == h else y + height - margin
    return sum(bool(pixels[j, i]) for j in range(top, bottom) for i in range(left, right))


@pytest.mark.parametrize('margin', [0, 1])
def test_no_window_has_more_pixels(margin):
    rng = np.random.default_rng(0)
    for _ in range(30):
        h, w = rng.integers(3, 12, 2)
        pixels = rng.random((h, w)) < 0.3
        window = densest_window(pixels, 5, margin)
        width, height = min(5, w), min(5, h)
        counts = [
            count_in(pixels, x, y, width, height, margin) for y in range(h - height + 1) for x in range(w - width + 1)
        ]
        x1, y1, x2, y2 = window.xyxy
        assert (x2 - x1, y2 - y1) == (width, height) and x1 >= 0 and y1 >= 0 and x2 <= w and y2 <= h
        assert window.num_pixels == max(counts) == count_in(pixels, x1, y1, width, height, margin)
        assert window.num_pixels == pixels[window.inner].sum()


def test_window_has_its_pixels_in_the_middle():
    pixels = np.zeros((40, 60), bool)
    pixels[20:24, 30:36] = True
    assert densest_window(pixels, 16).xyxy == (25, 14, 41, 30)
    # At a corner it stays inside the map.
    pixels[:] = False
    pixels[39, 59] = True
    assert densest_window(pixels, 16).xyxy == (44, 24, 60, 40)


def test_margin_keeps_an_object_from_being_cut():
    pixels = np.zeros((1, 60), bool)
    pixels[0, 10:14] = pixels[0, 24:28] = True
    # 18 px hold both objects exactly; with a margin of 4 only one of them counts.
    assert densest_window(pixels, 18).num_pixels == 8
    window = densest_window(pixels, 18, 4)
    assert window.num_pixels < 8
    assert window.xyxy[2] - window.inner_xyxy[2] == 4


def test_map_smaller_than_the_window_is_taken_whole():
    pixels = np.ones((3, 4), bool)
    window = densest_window(pixels, 10, 2)
    assert window.xyxy == window.inner_xyxy == (0, 0, 4, 3)
    assert window.num_pixels == 12


@pytest.mark.parametrize(('size', 'margin'), [(0, 0), (4, 2), (4, -1)])
def test_window_without_inside_is_an_error(size, margin):
    with pytest.raises(ValueError, match='wider than twice its margin'):
        densest_window(np.ones((9, 9), bool), size, margin)


def test_window_is_a_chip_of_the_original():
    # At factor 1 and below, where view pixels are whole original pixels, exactly the window.
    assert window_chip(Chip.full((100, 80)), (10, 20, 40, 50), 2.0) == Chip((10, 20, 40, 50), (60, 60))
    assert window_chip(Chip.full((100, 80), (50, 40)), (5, 10, 20, 25), 2.0) == Chip((10, 20, 40, 50), (30, 30))
    # A window in a window.
    inner = Chip((10, 20, 40, 50), (60, 60))
    assert window_chip(inner, (0, 0, 60, 60), 2.0) == Chip((10, 20, 40, 50), (120, 120))


def test_windows_of_a_view_have_one_size_and_enclose_their_pixels():
    rng = np.random.default_rng(1)
    for _ in range(200):
        wh = rng.integers(20, 90, 2)
        x, y = rng.integers(0, 30, 2)
        factor = rng.uniform(0.3, 4.0)
        look = Chip((x, y, x + wh[0], y + wh[1]), tuple(max(8, round(s * factor)) for s in wh))
        size = int(rng.integers(1, min(look.size_wh)))
        sizes = set()
        for _ in range(5):
            i, j = (int(rng.integers(0, s - size + 1)) for s in look.size_wh)
            window = (i, j, i + size, j + size)
            chip = window_chip(look, window, 2.0)
            sizes.add(chip.size_wh)
            exact = look.boxes_to_image(np.array([window], float))[0]
            a, b, c, d = chip.xyxy
            assert a <= exact[0] + 1e-9 and b <= exact[1] + 1e-9 and c >= exact[2] - 1e-9 and d >= exact[3] - 1e-9
            assert a >= look.xyxy[0] and b >= look.xyxy[1] and c <= look.xyxy[2] and d <= look.xyxy[3]
            # At most what rounding outwards takes, and one pixel.
            assert c - a <= exact[2] - exact[0] + 2 and d - b <= exact[3] - exact[1] + 2
        assert len(sizes) == 1


def test_enclosed_windows_are_left_out():
    large, small = Chip((0, 0, 40, 40), (80, 80)), Chip((5, 5, 20, 20), (30, 30))
    elsewhere, finer = Chip((30, 30, 50, 50), (40, 40)), Chip((5, 5, 20, 20), (60, 60))
    assert without_enclosed([small, large, elsewhere, finer, large]) == [large, elsewhere, finer]
    assert without_enclosed([small, small]) == [small]
    # Sizes that differ by rounding are one scale: the first stays.
    assert without_enclosed([Chip((0, 0, 99, 99), (200, 200)), Chip((0, 0, 99, 99), (198, 198))]) == [
        Chip((0, 0, 99, 99), (200, 200))
    ]
    assert without_enclosed([]) == []
