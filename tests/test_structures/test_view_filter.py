import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.structures import Chip, ScaleRange, ViewFilter

IMAGE_WH = (100, 80)


def keep(view_filter, boxes, chip, labels=None):
    boxes = torch.tensor(boxes, dtype=torch.float64)
    labels = torch.zeros(len(boxes), dtype=torch.long) if labels is None else torch.tensor(labels)
    return ViewFilter.build(view_filter).keep(boxes, labels, chip, IMAGE_WH).tolist()


@pytest.mark.parametrize('flip', [False, True])
def test_range_counts_view_pixels(flip):
    """Boxes are in original pixels: at factor 4, [16, 40] as seen are [4, 10]; both bounds are kept."""
    chip = Chip((0, 0, 50, 50), (200, 200), flip)
    boxes = [(0, 0, 4, 4), (0, 0, 3.999, 4), (10, 10, 20, 20), (10, 10, 20, 20.001), (0, 0, 5, 20)]
    assert keep(dict(scale_range=(16, 40)), boxes, chip) == [True, False, True, False, True]


def test_range_of_original_pixels():
    chip = Chip((0, 0, 50, 50), (200, 200))
    rule = ViewFilter(ScaleRange(4, 10, frame='original'))
    assert keep(rule, [(0, 0, 4, 4), (0, 0, 3.9, 4), (0, 0, 10, 10), (0, 0, 10, 11)], chip) == [
        True,
        False,
        True,
        False,
    ]


@pytest.mark.parametrize('flip', [False, True])
def test_margin_is_in_view_pixels_and_spares_the_edges_of_the_image(flip):
    """A chip at the left and the bottom of the image, 2 view px per original px along x and 4 along y."""
    chip = Chip((0, 20, 40, 80), (80, 240), flip)
    boxes = [
        (0, 40, 20, 60),  # at the image's left edge
        (10, 60, 20, 80),  # at the image's bottom edge
        (10, 40, 35, 60),  # 5 original px = 10 view px from the right edge of the chip
        (10, 40, 34.9, 60),
        (10, 22.5, 30, 60),  # 2.5 original px = 10 view px from its top edge
        (10, 22.6, 30, 60),
        (10, 40, 45, 60),  # beyond the chip
        (10, 15, 20, 60),
    ]
    assert keep(dict(edge_margin=10), boxes, chip) == [True, True, False, True, False, True, False, False]


def test_margins_of_all_four_inner_edges():
    chip = Chip((10, 10, 60, 60), (50, 50))
    boxes = [(10, 20, 30, 30), (20, 10, 30, 30), (20, 20, 60, 30), (20, 20, 30, 60), (10.1, 10.1, 59.9, 59.9)]
    assert keep(dict(edge_margin=0), boxes, chip) == [False, False, False, False, True]
    assert keep(None, boxes, chip) == [True] * 5


def test_the_whole_image_has_no_inner_edge():
    boxes = [(0, 0, 100, 80), (0, 0, 1, 1), (99, 79, 100, 80)]
    assert keep(dict(edge_margin=1000), boxes, Chip.full(IMAGE_WH)) == [True] * 3


def test_classes_down_to_the_last():
    boxes = [(0, 0, 10, 10)] * 4
    assert keep(dict(classes=(1, 79)), boxes, Chip.full(IMAGE_WH), [0, 1, 79, 78]) == [False, True, True, False]
    assert keep(dict(classes=()), boxes, Chip.full(IMAGE_WH), [0, 1, 79, 78]) == [False] * 4


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**31), st.booleans())
def test_rules_combine_by_and(seed, flip):
    generator = torch.Generator().manual_seed(seed)
    chip = Chip((10, 10, 60, 60), (100, 100), flip)
    corners = torch.rand((20, 2), generator=generator, dtype=torch.float64) * 40 + 10
    boxes = torch.cat([corners, corners + torch.rand((20, 2), generator=generator) * 15], dim=1)
    labels = torch.randint(0, 3, (20,), generator=generator)
    rules = dict(scale_range=(5, 20), edge_margin=6, classes=(0, 2))
    each = [ViewFilter.build({k: v}).keep(boxes, labels, chip, IMAGE_WH) for k, v in rules.items()]
    assert ViewFilter(**rules).keep(boxes, labels, chip, IMAGE_WH).tolist() == (each[0] & each[1] & each[2]).tolist()


def test_no_boxes():
    rule = ViewFilter((16, 560), edge_margin=3, classes=(0,))
    assert rule.keep(torch.zeros((0, 4)), torch.zeros(0, dtype=torch.long), Chip.full(IMAGE_WH), IMAGE_WH).shape == (0,)


@pytest.mark.parametrize(
    'kwargs, said',
    [
        (dict(scale_range=(5, 2)), r'\[5.0, 2.0\]'),
        (dict(edge_margin=-1), '-1'),
        (dict(edge_margin=math.nan), 'nan'),
        (dict(classes=(0, -1)), r'\(0, -1\)'),
        (dict(margin=3), 'margin'),
    ],
)
def test_invalid_filters(kwargs, said):
    with pytest.raises(ValueError, match=said):
        ViewFilter.build(kwargs)
