"""Tests of overlapping equal cells."""

import numpy as np
import pytest
from mmdet.registry import TASK_UTILS

from mmisn.chips import GridChips, grid_views
from mmisn.structures import Chip


def test_four_cells_at_the_size_of_the_image():
    views = GridChips(overlap=0.2).views((180, 90))
    # c + c - 0.2 c = 180 gives c = 100, likewise 50.
    assert views == [
        Chip.full((180, 90)),
        Chip((0, 0, 100, 50), (180, 90)),
        Chip((80, 0, 180, 50), (180, 90)),
        Chip((0, 40, 100, 90), (180, 90)),
        Chip((80, 40, 180, 90), (180, 90)),
    ]


def test_level_and_cells_alone():
    views = grid_views((180, 90), level=(360, 180), full_image=False)
    assert [c.size_wh for c in views] == [(360, 180)] * 4
    assert GridChips(level=2.0).whole_view((180, 90)) == Chip.full((180, 90), (360, 180))


@pytest.mark.parametrize('image_wh', [(640, 480), (333, 500), (97, 31), (7, 5), (2, 1)])
@pytest.mark.parametrize('cells', [(2, 2), (3, 2), (1, 4), (1, 1)])
@pytest.mark.parametrize('overlap', [0.0, 0.25, 0.5])
def test_cells_cover_the_image_and_overlap(image_wh, cells, overlap):
    chips = grid_views(image_wh, cells, overlap, level=1.0, full_image=False)
    assert len({c.size_wh for c in chips}) == len({c.wh for c in chips}) == 1
    seen = np.zeros(image_wh[::-1], int)
    for chip in chips:
        x1, y1, x2, y2 = chip.xyxy
        assert x1 >= 0 and y1 >= 0 and x2 <= image_wh[0] and y2 <= image_wh[1]
        seen[y1:y2, x1:x2] += 1
        # No cell needs more pixels than the image, and its aspect ratio is kept up to rounding.
        assert chip.size_wh[0] <= image_wh[0] + 1 and chip.size_wh[1] <= image_wh[1] + 1
        if min(chip.size_wh) >= 20:
            assert chip.factors[0] == pytest.approx(chip.factors[1], rel=0.03)
    assert seen.min() >= 1
    for axis in (0, 1):
        starts = sorted({c.xyxy[axis] for c in chips})
        side = chips[0].wh[axis]
        assert len(starts) == min(cells[axis], image_wh[axis]) or side == image_wh[axis]
        assert all(b - a <= side * (1 - overlap) + 1 for a, b in zip(starts, starts[1:]))


def test_single_cell_is_the_image_once():
    assert grid_views((64, 48), (1, 1)) == [Chip.full((64, 48))]


def test_builds_from_a_config():
    generator = TASK_UTILS.build(dict(type='GridChips', cells=[3, 2], overlap=0.1, level=(800, 600)))
    assert len(generator.views((640, 480))) == 7
    assert repr(generator) == 'GridChips(cells=(3, 2), overlap=0.1, level=(800, 600), full_image=True)'


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(cells=4), 'cells'),
        (dict(cells=(2, 0)), 'cells'),
        (dict(cells=(2, 2.5)), 'cells'),
        (dict(overlap=1.0), 'overlap'),
        (dict(overlap=-0.1), 'overlap'),
        (dict(level=-1), 'factor of a level'),
    ],
)
def test_bad_options_are_errors(option, message):
    with pytest.raises(ValueError, match=message):
        GridChips(**option)
