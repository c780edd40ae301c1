"""Tests of the pyramid that is cut where nothing needs a level."""

import math

import numpy as np
import pytest

from mmisn.chips import FocusChips, PyramidChips, class_intervals, classes_of_levels
from mmisn.structures import Chip, ScaleRange

FACTORS = (4.0, 2.0, 1.0, 0.5, 0.25)
BOUNDS = (0.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, math.inf)
RANGE = ScaleRange(16, 560)


def octaves(objects, image_wh):
    """A perfect net of octave classes; ``objects`` are (x, y, side) in original pixels."""

    def predict(chips):
        maps = []
        for chip in chips:
            labels = np.zeros(chip.size_wh[::-1], int)
            for x, y, side in sorted(objects, key=lambda o: -o[2]):
                x1, y1, x2, y2 = (
                    chip.boxes_to_view(np.array([[x, y, x + side, y + side]], float))[0].round().astype(int)
                )
                labels[max(y1, 0) : y2, max(x1, 0) : x2] = np.searchsorted(BOUNDS, side * chip.factor, side='right')
            maps.append((labels == np.arange(len(BOUNDS))[:, None, None]).astype(np.float32))
        return maps

    return predict


def test_class_intervals_end_at_the_image():
    intervals = class_intervals(BOUNDS, 0.5, (400, 100))
    assert intervals[:5].tolist() == [[0, 16], [16, 32], [32, 64], [64, 128], [128, 200]]
    assert (intervals[5:] == 200).all()


def levels_by_rule(scale_low, scale_high, margin):
    """Which levels an object class is computed at, by the definition, on many scales of the class."""
    scales = np.linspace(scale_low, scale_high, 2001)
    levels = []
    for level, factor in enumerate(FACTORS):
        in_range = ((scales[:-1] * factor >= 16) & (scales[:-1] * factor <= 560)).any()
        cheaper = [f for f in FACTORS if f < factor]
        served = any((scales * f >= 16 * margin).all() and (scales * f <= 560).all() for f in cheaper)
        if in_range and not served:
            levels.append(level)
    return levels


@pytest.mark.parametrize('margin', [1.0, 1.5, 2.0, 4.0, 40.0])
def test_levels_of_a_class_follow_the_definition(margin):
    intervals = class_intervals(BOUNDS, 1.0, (2000, 2000))
    needed = classes_of_levels(intervals, FACTORS, [RANGE] * 5, [margin] * 5)
    for label, (low, high) in enumerate(intervals.tolist(), 1):
        levels = [level for level, classes in enumerate(needed) if label in classes]
        assert levels == levels_by_rule(low, high, margin), (label, margin)


def test_cheapest_level_that_holds_a_class_is_enough_without_margin():
    intervals = class_intervals(BOUNDS, 1.0, (2000, 2000))
    needed = classes_of_levels(intervals, FACTORS, [RANGE] * 5, [1.0] * 5)
    # [64, 128) is 16 to 32 px at 0.25; [8, 16) is out of range at 1, 16 to 32 px at 2; [0, 8) needs 4 and has some of
    # its scales at no cheaper level. 2000 px are too many for 0.5.
    assert needed == [[1], [2], [3], [4], [5, 6, 7, 8]]


def test_margins_per_level_and_ranges_per_level():
    intervals = class_intervals(BOUNDS, 1.0, (600, 600))
    needed = classes_of_levels(intervals, (1.0, 0.5), [RANGE] * 2, [1.0, 3.0])
    # At 0.5 objects from 96 px on are served well; [64, 128) is not, wholly.
    assert needed == [[3, 4, 5], [4, 5, 6, 7, 8]]
    snip = [ScaleRange(0, 80, frame='original'), ScaleRange(60, frame='original')]
    assert classes_of_levels(intervals, (2.0, 1.0), snip, [1.0, 1.0]) == [[1, 2, 3, 4], [4, 5, 6, 7, 8]]


@pytest.mark.parametrize('margin', [1.0, 2.0, 4.0, 8.0, 100.0])
def test_without_poor_levels_a_class_has_the_first_that_serves_it_well(margin):
    intervals = class_intervals(BOUNDS, 1.0, (2000, 2000))
    needed = classes_of_levels(intervals, FACTORS, [RANGE] * 5, [margin] * 5, skip_poor=True)
    for label, (low, high) in enumerate(intervals.tolist(), 1):
        levels = [level for level, classes in enumerate(needed) if label in classes]
        # FACTORS descend: of the levels by the definition, the first is the most expensive.
        assert levels == levels_by_rule(low, high, margin)[:1]


def test_all_levels_where_a_margin_serves_nothing():
    intervals = class_intervals(BOUNDS, 1.0, (500, 500))
    needed = classes_of_levels(intervals, FACTORS, [RANGE] * 5, [100.0] * 5)
    assert needed == [[1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7], [3, 4, 5, 6, 7], [4, 5, 6, 7], [5, 6, 7]]


def focus(**options):
    defaults = dict(factors=FACTORS, scale_range=(16, 560), look=0.5, class_bounds=BOUNDS, grid=dict(overhead=0))
    return FocusChips(**{**defaults, **options})


def test_nothing_predicted_nothing_computed():
    assert focus().views((640, 480), octaves([], (640, 480))) == []


def test_each_object_is_seen_where_it_is_needed():
    objects = [(40, 40, 20), (400, 300, 110)]
    views = focus().views((640, 480), octaves(objects, (640, 480)))
    # At look 0.5 they have 10 and 55 px: [8, 16) is [16, 32) px in the image, 16 to 32 at factor 1, [32, 64) is
    # [64, 128), 16 to 32 at 0.25.
    assert {round(c.factor, 3) for c in views} == {1.0, 0.25}
    for (x, y, side), factor in zip(objects, (1.0, 0.25)):
        box = np.array([[x, y, x + side, y + side]])
        assert any(c.encloses(box).all() and c.factor == factor for c in views)
    pyramid = PyramidChips(FACTORS).views((640, 480))
    assert sum(c.num_pixels for c in views) < 0.1 * sum(c.num_pixels for c in pyramid)


def test_margin_adds_levels_up_to_the_whole_range():
    objects = [(300, 200, 20)]
    predict = octaves(objects, (640, 480))
    seen = {m: [c.factor for c in focus(margin=m).views((640, 480), predict)] for m in (1.0, 2.0, 100.0)}
    # Class [16, 32): in range at 1, 2 and 4.
    assert seen == {1.0: [1.0], 2.0: [2.0, 1.0], 100.0: [4.0, 2.0, 1.0]}


def test_all_predicted_is_the_whole_pyramid():
    def everything(chips):
        return [np.full((len(BOUNDS), *c.size_wh[::-1]), 1 / len(BOUNDS), np.float32) for c in chips]

    views = focus(margin=100.0, threshold=0.05).views((160, 120), everything)
    # A large margin, for a level that serves a class wholly spares the others; 160x120 px have no objects of 256 px.
    assert views == PyramidChips(FACTORS).views((160, 120))


def test_levels_that_are_always_computed():
    views = focus(always=[0.25]).views((640, 480), octaves([], (640, 480)))
    assert views == [Chip.full((640, 480), (160, 120))]


def test_flips():
    views = focus(flips=[False, True]).views((640, 480), octaves([(40, 40, 20)], (640, 480)))
    assert len(views) == 2 and views[0].flipped() == views[1]


def test_argmax_and_threshold():
    def unsure(chips):
        maps = octaves([(100, 100, 20)], (640, 480))(chips)
        return [0.35 * m + 0.65 * (np.arange(len(BOUNDS)) == 0)[:, None, None] for m in maps]

    assert len(focus(threshold=0.3).views((640, 480), unsure)) == 1
    assert focus(threshold=0.4).views((640, 480), unsure) == []
    assert focus(threshold=None).views((640, 480), unsure) == []


def test_bounds_and_view_come_from_the_scale_net():
    class Net:
        class_bounds = BOUNDS

        def view_wh(self, size_wh):
            return size_wh[0] * 2, size_wh[1] * 2

    generator = focus(class_bounds=None)
    with pytest.raises(ValueError, match='needs class_bounds'):
        generator.views((640, 480), octaves([], (640, 480)))
    generator.read_scale_net(Net())
    # The net sees the look twice as large: the class of 10 px at 0.5 is 20 px to it, hence [16, 32) px in the image.
    assert [c.factor for c in generator.views((640, 480), octaves([(40, 40, 40)], (640, 480)))] == [1.0]
    with pytest.raises(ValueError, match='states no class_bounds'):
        focus(class_bounds=None).read_scale_net(object())


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (lambda c: np.full((len(BOUNDS), *c.size_wh[::-1]), np.nan), 'must be finite'),
        (lambda c: np.zeros((len(BOUNDS), *c.size_wh)), 'must have height'),
        (lambda c: np.zeros((3, *c.size_wh[::-1])), 'as many classes'),
        (lambda c: np.zeros(c.size_wh[::-1]), 'as many classes'),
    ],
)
def test_bad_maps_are_one_error(bad, message):
    with pytest.raises(ValueError, match=message):
        focus().views((64, 48), lambda chips: [bad(c) for c in chips])


def test_missing_predict_is_an_error():
    with pytest.raises(ValueError, match='FocusChips needs predict'):
        focus().views((64, 48))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(margin=0.5), 'margin'),
        (dict(margin=[1.0, 2.0]), 'margin'),
        (dict(threshold=1.0), 'threshold'),
        (dict(always=[3.0]), 'always'),
        (dict(flips=[]), 'flips'),
        (dict(class_bounds=(0.0,)), 'class_bounds'),
        (dict(class_bounds=(8.0, 4.0)), 'class_bounds'),
        (dict(scale_range=dict(lower=1, measure='mask_area')), 'sqrt'),
        (dict(grid=dict(cell=0)), 'cell'),
    ],
)
def test_bad_options_are_errors(option, message):
    with pytest.raises(ValueError, match=message):
        focus(**option)
