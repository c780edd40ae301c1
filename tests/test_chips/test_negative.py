"""Negative chips against a plain Python recount, and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import CoverChips, negative_chips
from mmisn.structures import Chip, ScaleRange
from mmisn.testing.cover_reference import encloses

LEVELS = (2.0, 1.0, 0.5)
GENERATOR = CoverChips(LEVELS, scale_range=(8, 60), chip_size=64, stride=(10, 14))


def plan(image_wh, proposals, positive, positive_levels, min_proposals, seed=0, generator=GENERATOR):
    return negative_chips(
        image_wh,
        proposals,
        positive,
        positive_levels,
        generator.levels,
        generator.scale_ranges,
        generator.chip_size,
        generator.stride,
        min_proposals,
        np.random.default_rng(seed),
    )


def boxes_in(image_wh, number, rng):
    corners = rng.uniform(0, image_wh, (number, 2))
    boxes = np.concatenate([corners, corners + np.exp(rng.uniform(0.5, 4.5, (number, 2)))], axis=1)
    return np.clip(boxes, 0, [*image_wh, *image_wh])


def recount(image_wh, boxes, positive, negative, factor, fewest):
    """Per chip the boxes that it encloses first, in plain Python; and the three counts."""
    wanted = [b for b in boxes.tolist() if 8 <= factor * math.sqrt((b[2] - b[0]) * (b[3] - b[1])) <= 60]
    in_positive = [b for b in wanted if any(encloses(c.xyxy[:2], c.wh, b) for c in positive)]
    left = [b for b in wanted if b not in in_positive]
    held = []
    for chip in negative:
        mine = [b for b in left if encloses(chip.xyxy[:2], chip.wh, b)]
        left = [b for b in left if b not in mine]
        held.append(len(mine))
    return held, (len(wanted), len(in_positive), sum(n for n in held if n >= fewest)), left


@settings(deadline=None, max_examples=60)
# Even sides, so that views are whole pixels at factor 0.5 and the factor is what it says.
@given(st.integers(0, 10**6), st.tuples(*[st.integers(4, 150).map(lambda half: 2 * half)] * 2), st.integers(2, 6))
def test_against_a_plain_recount(seed, image_wh, fewest):
    rng = np.random.default_rng(seed)
    objects = boxes_in(image_wh, 4, rng)
    proposals = [boxes_in(image_wh, 40, rng) for _ in LEVELS]
    positive = GENERATOR.plan(image_wh, objects, rng)
    arguments = image_wh, proposals, positive.chips, positive.levels
    every, kept = plan(*arguments, [1] * 3, seed), plan(*arguments, [fewest, 1, fewest], seed)
    for level, factor in enumerate(LEVELS):
        of_level = every.levels == level
        chips = [c for c, mine in zip(every.chips, of_level) if mine]
        pos = [c for c, i in zip(positive.chips, positive.levels) if i == level]
        least = [fewest, 1, fewest][level]
        held, counts, left = recount(image_wh, proposals[level], pos, chips, factor, least)
        assert every.num_proposals[of_level].tolist() == held
        assert held == sorted(held, reverse=True) and min(held, default=1) >= 1
        # Whatever no chip holds is longer than a chip.
        rect = [min(side, math.floor(64 / factor + 0.5)) for side in image_wh]
        assert all(b[2] - b[0] > rect[0] - 1 or b[3] - b[1] > rect[1] - 1 for b in left)
        # Stricter minima only drop chips.
        assert [c for c, i in zip(kept.chips, kept.levels) if i == level] == [
            c for c, n in zip(chips, held) if n >= least
        ]
        assert kept.counts[level].tolist() == list(counts)
        assert all(c.size_wh == pos[0].size_wh for c in chips if pos)


def test_by_hand():
    """A level of factor 1 with chips of 64 px: 3 proposals in the positive chip, 5 in one corner, 2 in another."""
    generator = CoverChips([1.0], scale_range=(8, 60), chip_size=64, stride=(10, 14))
    image_wh = (400, 64)
    square = np.array([0, 0, 10, 10.0])
    in_positive = [square + [x, 5, x, 5] for x in (2, 20, 40)]
    many = [square + [x, 5, x, 5] for x in (330, 340, 350, 360, 370)]
    few = [square + [x, 5, x, 5] for x in (180, 190)]
    out_of_range = [np.array([200, 0, 204, 4.0]), np.array([150, 0, 300, 60.0])]
    boxes = np.array(few + in_positive + out_of_range + many)
    positive = [Chip((0, 0, 64, 64), (64, 64))]
    found = plan(image_wh, [boxes], positive, [0], [2], generator=generator)
    assert found.num_proposals.tolist() == [5, 2] and found.levels.tolist() == [0, 0]
    assert found.counts.tolist() == [[10, 3, 7]]
    assert all(found.chips[0].encloses(np.array(many))) and all(found.chips[1].encloses(np.array(few)))
    strict = plan(image_wh, [boxes], positive, [0], [3], generator=generator)
    assert strict.chips == found.chips[:1] and strict.counts.tolist() == [[10, 3, 5]]
    # A positive chip of another level does not count.
    other = plan(image_wh, [boxes], positive, [1], [2], generator=generator)
    assert sorted(other.num_proposals.tolist()) == [2, 3, 5] and other.counts.tolist() == [[10, 0, 10]]


def test_ranges_in_original_pixels_differ_per_level():
    """SNIPER's ranges: a level takes its own proposals only."""
    ranges = [dict(lower=0, upper=20, frame='original'), dict(lower=15, upper=None, frame='original')]
    generator = CoverChips([3.0, (200, 200)], scale_range=ranges, chip_size=64, stride=(10, 14))
    assert generator.scale_ranges[0] == ScaleRange(0, 20, frame='original')
    boxes = np.array([[0, 0, 12, 12.0], [100, 100, 118, 118], [50, 50, 100, 100]])
    found = plan((200, 200), [boxes, boxes], [], [], [1, 1], generator=generator)
    assert found.counts[:, 0].tolist() == [2, 2]


def test_nothing_to_cover():
    empty = [np.zeros((0, 4))] * 3
    none = plan((100, 90), empty, [], [], [1] * 3)
    assert none.chips == [] and len(none.levels) == len(none.num_proposals) == 0 and not none.counts.any()
    # The whole image is a positive chip of the coarsest level.
    boxes = np.array([[10, 10, 50, 50.0]])
    whole = GENERATOR.plan((100, 90), boxes, np.random.default_rng(0))
    found = plan((100, 90), [boxes] * 3, whole.chips, whole.levels, [1] * 3)
    assert found.chips == [] and found.counts.tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 0]]


def test_an_image_without_positive_chips_is_one_chip_where_it_fits():
    boxes = np.array([[10, 10, 50, 50.0], [2, 2, 30, 40]])
    found = plan((100, 90), [boxes[:0], boxes[:0], boxes], [], [], [2] * 3)
    assert found.chips == [Chip.full((100, 90), (50, 45))] and found.num_proposals.tolist() == [2]


def test_errors():
    with pytest.raises(ValueError, match='3 levels need as many lists of proposals and minima, got 2 and 3'):
        plan((100, 90), [np.zeros((0, 4))] * 2, [], [], [1] * 3)
    with pytest.raises(ValueError, match='boxes must be finite'):
        plan((100, 90), [np.array([[0, 0, np.nan, 3]])] * 3, [], [], [1] * 3)
