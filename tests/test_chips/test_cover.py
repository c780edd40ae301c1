"""Training chips against brute force over all integer positions."""

import json
import math
import warnings
from collections import defaultdict

import numpy as np
import pytest
from chip_scenes import scenes
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import CoverChips, level_chip_shape
from mmisn.structures import Chip, ScaleRange, clip_boxes
from mmisn.testing import real_data_root
from mmisn.testing.cover_reference import encloses

ISN = dict(factors=(4, 2, 1, 0.5, 0.25), scale_range=(16, 560))
SMALL_CHIP = 64
SMALL_RANGE = ScaleRange(4, 62)
SNIPER_RANGES = [dict(lower=lo, upper=hi, frame='original') for lo, hi in [(0, 80), (32, 150), (120, None)]]
SNIPER = dict(factors=(3, 1.667, (512, 512)), scale_range=SNIPER_RANGES, chip_size=512)


def small_generator(factors, scale_range=SMALL_RANGE):
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # of gaps between levels
        return CoverChips(factors, scale_range, chip_size=SMALL_CHIP, stride=(6, 9))


levels = st.sampled_from([4.0, 2.0, 1.667, 1.0, 0.5, 0.3, 0.25, (150, 100), (64, 64)])


def enclosable(box, rect_wh, image_wh):
    """Whether any whole-pixel position inside the image encloses a clipped box, by trying them all."""
    x1, y1, x2, y2 = box
    if x1 >= x2 or y1 >= y2:
        return False
    in_x = any(x <= x1 and x2 <= x + rect_wh[0] for x in range(image_wh[0] - rect_wh[0] + 1))
    return in_x and any(y <= y1 and y2 <= y + rect_wh[1] for y in range(image_wh[1] - rect_wh[1] + 1))


@settings(deadline=None, max_examples=150)
@given(scenes(), st.lists(levels, min_size=1, max_size=3))
def test_every_object_in_range_is_enclosed_or_reported(scene, factors):
    image_wh, boxes, seed = scene
    plan = small_generator(factors).plan(image_wh, boxes, np.random.default_rng(seed))
    clipped = clip_boxes(boxes, image_wh).tolist()
    trainable, wanted = set(), set()
    for index, level in enumerate(factors):
        rect_wh, size_wh = level_chip_shape(image_wh, level, SMALL_CHIP)
        chips = [chip for chip, at in zip(plan.chips, plan.levels) if at == index]
        for chip in chips:
            assert (chip.wh, chip.size_wh, chip.flip) == (rect_wh, size_wh, False)
            assert min(chip.xyxy) >= 0 and chip.xyxy[2] <= image_wh[0] and chip.xyxy[3] <= image_wh[1]
        factor = math.sqrt(size_wh[0] / rect_wh[0] * size_wh[1] / rect_wh[1])
        scales = np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])) * factor
        in_range = np.flatnonzero((scales >= 4) & (scales <= 62)).tolist()
        assert plan.in_range[index].tolist() == in_range
        assert plan.view_ranges[index] == (4, 62)
        held = {i for i in in_range if any(encloses(c.xyxy[:2], rect_wh, clipped[i]) for c in chips)}
        possible = {i for i in in_range if enclosable(clipped[i], rect_wh, image_wh)}
        assert possible <= held
        assert plan.not_enclosed[index].tolist() == sorted(set(in_range) - possible)
        assert bool(chips) == bool(possible)
        trainable |= possible
        wanted |= set(in_range)
    assert plan.lost.tolist() == sorted(wanted - trainable)
    assert plan.out_of_range.tolist() == sorted(set(range(len(boxes))) - wanted)
    assert len(plan.levels) == len(plan.chips)


@pytest.mark.parametrize(
    'boxes, num_chips',
    [
        ([], 0),
        ([(10, 10, 60, 60)], 1),
        ([(10, 10, 60, 60), (10, 10, 60, 60)], 1),
        ([(10, 10, 60, 60), (500, 500, 560, 560)], 1),
        ([(0, 0, 50, 50), (1950, 0, 2000, 50), (0, 1450, 50, 1500), (1950, 1450, 2000, 1500)], 4),
        # Two pairs: 450 px fit 576, the 750 px between the pairs do not.
        ([(x, 700, x + 50, 750) for x in (100, 500, 1200, 1600)], 2),
    ],
)
def test_number_of_chips(boxes, num_chips):
    generator = CoverChips((1,), (16, 560))
    for seed in range(5):
        boxes = np.array(boxes, dtype=float).reshape(-1, 4)
        assert len(generator.plan((2000, 1500), boxes, np.random.default_rng(seed)).chips) == num_chips


@pytest.mark.parametrize('factor', ISN['factors'])
@pytest.mark.parametrize('bound', [16, 560])
def test_both_bounds_belong_to_the_range(factor, bound):
    """Powers of two, so that nothing rounds: a square of exactly the bound is in range, one beyond it is not."""
    generator = CoverChips((factor,), (16, 560))
    side = bound / factor
    outside = np.nextafter(side, 0 if bound == 16 else np.inf)
    boxes = np.array([(0, 0, side, side), (0, 0, outside, outside), (0, 0, side / 2, side * 2)])
    plan = generator.plan((8000, 8000), boxes, np.random.default_rng(0))
    assert plan.in_range[0].tolist() == [0, 2]
    assert plan.out_of_range.tolist() == [1]
    # 1120 px do not fit a chip of 576 px, 32 px do.
    assert plan.not_enclosed[0].tolist() == ([] if bound == 16 else [2])


@settings(deadline=None, max_examples=100)
@given(scenes(max_side=600, max_objects=6), levels, st.booleans(), st.integers(0, 1))
def test_training_judges_each_object_as_the_plan_did(scene, level, original_frame, bound):
    """Training knows the chip and the range in view pixels only. One object has exactly a bound as its scale."""
    image_wh, boxes, seed = scene
    chip = Chip.full(*level_chip_shape(image_wh, level, SMALL_CHIP))
    scale_range = ScaleRange(3, 47, frame='original') if original_frame else ScaleRange(4, 62)
    in_original = scale_range.in_original(chip)
    boxes = np.concatenate([boxes, [(0, 0, *[(in_original.lower, in_original.upper)[bound]] * 2)]])
    plan = small_generator([level], scale_range).plan(image_wh, boxes, np.random.default_rng(seed))
    in_range = ScaleRange.build(plan.view_ranges[0]).in_original(chip).contains_boxes(boxes)
    assert np.flatnonzero(in_range).tolist() == plan.in_range[0].tolist()


def test_sniper_ranges_count_original_pixels():
    """One object per level, and each level's range as SNIPER's configuration has it."""
    boxes = np.array([(0, 0, 20.0, 20), (50, 50, 150, 150), (100, 100, 400, 400), (0, 0, 60, 60)])
    plan = CoverChips(**SNIPER).plan((640, 480), boxes, np.random.default_rng(0))
    assert [i.tolist() for i in plan.in_range] == [[0, 3], [1, 3], [2]]
    # 512 / 3 and 512 / 1.667 round to 171 and 307 px; the last level shows the image at 0.8.
    factors = [512 / 171, 512 / 307, 0.8]
    expected = [(0, 80 * factors[0]), (32 * factors[1], 150 * factors[1]), (120 * factors[2], math.inf)]
    np.testing.assert_allclose(plan.view_ranges, expected)


def plan_key(plan):
    arrays = [plan.levels, *plan.in_range, *plan.not_enclosed, plan.lost, plan.out_of_range]
    return plan.chips, plan.view_ranges, [a.tolist() for a in arrays]


def random_boxes(num, image_wh, rng, shortest=20, longest=100):
    sides = rng.uniform(shortest, longest, (num, 2))
    corners = rng.uniform(0, 1, (num, 2)) * (np.array(image_wh) - sides)
    return np.concatenate([corners, corners + sides], axis=1)


def test_the_plan_is_a_function_of_the_generator_state():
    boxes = random_boxes(12, (900, 700), np.random.default_rng(3))
    kept = boxes.copy()
    generator = CoverChips(**ISN)
    plans = [generator.plan((900, 700), boxes, np.random.default_rng(seed)) for seed in (5, 5, 6)]
    assert plan_key(plans[0]) == plan_key(plans[1])
    assert plans[0].chips != plans[2].chips
    np.testing.assert_array_equal(boxes, kept)


def test_ties_break_at_random():
    """Every position that encloses a lone object is drawn, not just the first; its neighbours differ by a stride."""
    box = np.array([(480.0, 480, 520, 520)])
    generator = CoverChips((1,), (16, 560))
    lefts = [generator.plan((1000, 1000), box, np.random.default_rng(s)).chips[0].xyxy[0] for s in range(300)]
    lowest, highest = 0, 1000 - 576
    assert min(lefts) == lowest and max(lefts) == highest
    occupied = np.histogram(lefts, bins=8, range=(lowest, highest))[0]
    # Each eighth of the way is as likely as the others; the ends hold the image's border besides.
    assert occupied.min() > 300 / 8 / 2


def test_an_object_too_long_for_a_chip_is_counted():
    """Scale 559 with sides 1:2 is 790 long: no chip of 576 holds it at factor 1, a chip at 0.5 does."""
    box = np.array([(100, 100, 890, 496.0)])
    plan = CoverChips((1,), (16, 560)).plan((1000, 1000), box, np.random.default_rng(0))
    assert (plan.chips, plan.not_enclosed[0].tolist(), plan.lost.tolist()) == ([], [0], [0])
    assert plan.out_of_range.tolist() == []
    plan = CoverChips((1, 0.5), (16, 560)).plan((1000, 1000), box, np.random.default_rng(0))
    assert [i.tolist() for i in plan.not_enclosed] == [[0], []]
    assert (plan.levels.tolist(), plan.lost.tolist()) == ([1], [])
    # The chip at 0.5 does not help if the object is out of range there.
    with pytest.warns(UserWarning, match=r'\(560, 600\)'):
        generator = CoverChips((1, 0.5), [(16, 560), (300, 560)])
    plan = generator.plan((1000, 1000), box, np.random.default_rng(0))
    assert (plan.in_range[1].tolist(), plan.lost.tolist()) == ([], [0])


def test_an_object_that_touches_more_pixels_than_the_chip_has_is_counted():
    """143.5 px fit 144, but not from 0.75 to 144.25: whole pixels 0 to 145."""
    generator = CoverChips((4,), (16, 576))
    boxes = np.array([(0.75, 0, 144.25, 100), (1.0, 0, 144.5, 100)])
    plan = generator.plan((640, 480), boxes, np.random.default_rng(0))
    assert plan.in_range[0].tolist() == [0, 1]
    assert plan.not_enclosed[0].tolist() == [0]


@pytest.mark.parametrize('image_wh', [(1, 1), (30, 500), (575, 2), (100, 3000)])
def test_images_smaller_than_a_chip(image_wh):
    box = np.array([(0.0, 0, *image_wh)])
    plan = CoverChips((1,), None).plan(image_wh, box, np.random.default_rng(0))
    if image_wh[1] > 576:
        assert (plan.chips, plan.lost.tolist()) == ([], [0])
    else:
        assert plan.chips == [Chip.full(image_wh)]


def test_boxes_on_and_beyond_the_border():
    """Scale is the given box's; enclosed is what lies inside the image; nothing inside means lost, not dropped."""
    boxes = np.array([(-20.0, -20, 30, 30), (970, 970, 1020, 1020), (1000, 0, 1050, 50), (-60, 0, -10, 50)])
    plan = CoverChips((1,), (50, 50.5)).plan((1000, 1000), boxes, np.random.default_rng(0))
    assert plan.in_range[0].tolist() == [0, 1, 2, 3]
    assert plan.lost.tolist() == [2, 3]
    assert sorted(chip.xyxy for chip in plan.chips) == [(0, 0, 576, 576), (424, 424, 1000, 1000)]


def test_no_objects():
    plan = CoverChips(**ISN).plan((640, 480), np.zeros((0, 4), np.float32), np.random.default_rng(0))
    assert plan.chips == [] and plan.levels.tolist() == []
    assert len(plan.view_ranges) == len(plan.in_range) == len(plan.not_enclosed) == 5
    assert plan.lost.tolist() == plan.out_of_range.tolist() == []


def test_a_large_image_with_many_objects():
    boxes = random_boxes(500, (9000, 9000), np.random.default_rng(0))
    plan = CoverChips((1,), (16, 560)).plan((9000, 9000), boxes, np.random.default_rng(0))
    assert len(plan.in_range[0]) == 500 and len(plan.lost) == 0
    corners = np.array([chip.xyxy for chip in plan.chips])
    held = (boxes[:, None, :2] >= corners[:, :2]).all(-1) & (boxes[:, None, 2:] <= corners[:, 2:]).all(-1)
    assert held.any(axis=1).all()
    # No chip is idle: each encloses an object that none before it does.
    assert np.unique(held.argmax(axis=1)).tolist() == list(range(len(plan.chips)))


def test_plan_level_draws_one_level():
    boxes = random_boxes(12, (900, 700), np.random.default_rng(3))
    generator = CoverChips(**ISN)
    plan = generator.plan((900, 700), boxes, np.random.default_rng(5))
    first = [chip for chip, level in zip(plan.chips, plan.levels) if level == 0]
    assert generator.plan_level(0, (900, 700), boxes, np.random.default_rng(5)) == first
    for level in range(5):
        chips = generator.plan_level(level, (900, 700), boxes, np.random.default_rng(9))
        assert all(any(c.encloses(boxes[i]) for c in chips) for i in plan.in_range[level])


@pytest.mark.parametrize('config', [ISN, SNIPER], ids=['isn', 'sniper'])
def test_real_images(config):
    root = real_data_root()
    if root is None:
        pytest.skip('no real data: set MMISN_DATA to a folder with coco_mini')
    annotations = json.loads((root / 'coco_mini' / 'annotations' / 'instances_val.json').read_text())
    boxes_of = defaultdict(list)
    for annotation in annotations['annotations']:
        x, y, w, h = annotation['bbox']
        if not annotation['iscrowd']:
            boxes_of[annotation['image_id']].append((x, y, x + w, y + h))
    generator = CoverChips(**config)
    num_objects = 0
    for image in annotations['images']:
        image_wh, boxes = (image['width'], image['height']), np.array(boxes_of[image['id']]).reshape(-1, 4)
        plan = generator.plan(image_wh, boxes, np.random.default_rng(image['id']))
        clipped = clip_boxes(boxes, image_wh)
        held = np.zeros(len(boxes), bool)
        for level in range(len(generator.levels)):
            chips = [c for c, at in zip(plan.chips, plan.levels) if at == level]
            enclosed = np.any([c.encloses(clipped) for c in chips], axis=0) if chips else np.zeros(len(boxes), bool)
            in_range = plan.in_range[level]
            held[in_range] |= enclosed[in_range]
            assert set(in_range[~enclosed[in_range]]) == set(plan.not_enclosed[level])
        sorted_out = np.concatenate([np.flatnonzero(held), plan.lost, plan.out_of_range])
        assert sorted(sorted_out) == list(range(len(boxes)))
        num_objects += held.sum()
    assert num_objects > 0
