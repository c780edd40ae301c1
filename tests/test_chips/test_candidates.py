"""The greedy choice against a plain Python one and exact minima; the grid of candidates."""

import math

import numpy as np
import pytest
from chip_scenes import scenes
from hypothesis import given, settings

from mmisn.chips.candidates import Candidates, draw_candidates, enclosing_positions, greedy_cover
from mmisn.structures import clip_boxes
from mmisn.testing.cover_reference import encloses, greedy_cover_reference


def small_candidates(image_wh, boxes, seed, rect=40):
    """Objects that fit, and candidates to enclose them with, at factor 1."""
    rng = np.random.default_rng(seed)
    rect_wh = (min(rect, image_wh[0]), min(rect, image_wh[1]))
    lower, upper, fits = enclosing_positions(boxes, rect_wh, image_wh)
    candidates = draw_candidates(image_wh, rect_wh, rect_wh, lower[fits], upper[fits], (6, 9), rng)
    return candidates, rect_wh, clip_boxes(boxes, image_wh)[fits].tolist(), rng


@settings(deadline=None, max_examples=60)
@given(scenes(max_side=120, max_objects=10))
def test_each_choice_encloses_as_many_as_the_plain_reference_finds_possible(scene):
    image_wh, boxes, seed = scene
    candidates, rect_wh, objects, rng = small_candidates(image_wh, boxes, seed)
    if not objects:
        return
    left = list(objects)
    for corner in greedy_cover(candidates, rng):
        assert corner[0] in candidates.xs and corner[1] in candidates.ys
        held = [box for box in left if encloses(corner, rect_wh, box)]
        best = greedy_cover_reference(candidates.xs.tolist(), candidates.ys.tolist(), rect_wh, left)[0][1]
        assert len(held) == len(best) > 0
        left = [box for box in left if box not in held]
    assert left == []


def test_candidates_must_hold_every_object():
    candidates = Candidates(np.array([0.0]), np.array([0.0]), np.array([(0.0, 0), (5, 0)]), np.array([(9.0, 9)] * 2))
    with pytest.raises(ValueError, match='1 objects are enclosed by no candidate'):
        greedy_cover(candidates, np.random.default_rng(0))


def fewest_chips(candidates, rect_wh, objects):
    """Size of the smallest cover, by trying all unions of candidates, one chip more at a time."""
    sets = {
        sum(1 << i for i, box in enumerate(objects) if encloses((x, y), rect_wh, box))
        for x in candidates.xs.tolist()
        for y in candidates.ys.tolist()
    }
    reached, count, everything = {0}, 0, (1 << len(objects)) - 1
    while everything not in reached:
        reached = {a | b for a in reached for b in sets}
        count += 1
    return count


def test_greedy_cover_against_the_exact_minimum():
    equal, cases = 0, 150
    for seed in range(cases):
        rng = np.random.default_rng(seed)
        corners = rng.uniform(0, 110, (7, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(3, 25, (7, 2))], axis=1)
        candidates, rect_wh, objects, rng = small_candidates((130, 130), boxes, seed)
        chosen, fewest = len(greedy_cover(candidates, rng)), fewest_chips(candidates, rect_wh, objects)
        assert fewest <= chosen <= fewest * (math.log(len(objects)) + 1)
        equal += chosen == fewest
    # 145 when this was written; the rest need one chip more than the minimum.
    assert equal >= 140


def test_stride_and_offset_of_the_grid():
    """Strides 56 to 59 (the end is excluded), any offset below the stride, and the two borders."""
    none = np.zeros((0, 2))
    strides, first = set(), []
    for seed in range(200):
        found = draw_candidates((2000, 600), (576, 576), (576, 576), none, none, (56, 60), np.random.default_rng(seed))
        assert found.xs[[0, -1]].tolist() == [0, 1424] and found.ys[[0, -1]].tolist() == [0, 24]
        strides |= set(np.diff(found.xs[1:-1]).tolist())
        first.append(found.xs[1])
        assert found.xs[-1] - found.xs[-2] <= 59
    assert strides == {56, 57, 58, 59}
    assert min(first) <= 2 and 53 <= max(first) < 59


def test_stride_counts_network_pixels():
    none = np.zeros((0, 2))
    found = draw_candidates((2000, 2000), (144, 144), (576, 576), none, none, (56, 57), np.random.default_rng(0))
    assert set(np.diff(found.xs[1:-1])) == {14}
