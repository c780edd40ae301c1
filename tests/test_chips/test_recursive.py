"""Tests of Algorithm 1 for windows, against a literal transcription of the paper's pseudo-code."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import ClassRule, RecursiveChips, RegressionRule, WindowSettings, recursive_views
from mmisn.chips.windows import window_chip
from mmisn.structures import Chip


def scene(objects, image_wh, unit):
    """Relative scale of each original pixel; ``objects`` are (x, y, side)."""
    field = np.zeros(image_wh[::-1])
    for x, y, side in objects:
        field[y : y + side, x : x + side] = side / unit
    return field


def look_at(field):
    """A perfect scale net for relative scales: what a pixel's object measures in the view."""

    def predict(chips):
        maps = []
        for chip in chips:
            (x1, y1, x2, y2), (width, height) = chip.xyxy, chip.size_wh
            columns = x1 + ((np.arange(width) + 0.5) * (x2 - x1) / width).astype(int)
            rows = y1 + ((np.arange(height) + 0.5) * (y2 - y1) / height).astype(int)
            maps.append((field[np.ix_(rows, columns)] * chip.factor).astype(np.float32))
        return maps

    return predict


def as_classes(predict, bounds=(0.5, 2.0)):
    """The same net with the classes small, normal and large."""

    def predict_classes(chips):
        maps = []
        for relative in predict(chips):
            labels = np.where(relative == 0, 0, 1 + np.digitize(relative, bounds))
            maps.append((labels == np.arange(4)[:, None, None]).astype(np.float32))
        return maps

    return predict_classes


def transcription(image_wh, scale_net, r_l, r_h, window_size, k, max_rescales):
    """Algorithm 1, line by line; regions whose rescaling is used up are final. A subimage is a chip."""

    def top_k(values):
        values = sorted(values, reverse=True)
        values = values[: max(1, round(k * len(values)))]
        return sum(values) / len(values)

    def locate(chip, pixels):
        """The subimage of size W with the most pixels; of equal ones the one around their middle, else the first."""
        width, height = (min(window_size, side) for side in chip.size_wh)
        best, most = [], -1
        for y in range(chip.size_wh[1] - height + 1):
            for x in range(chip.size_wh[0] - width + 1):
                count = sum(1 for i, j in pixels if x <= i < x + width and y <= j < y + height)
                if count > most:
                    best, most = [], count
                if count == most:
                    best.append((x, y))
        x, y = best[0]
        inside = [(i, j) for i, j in pixels if x <= i < x + width and y <= j < y + height]
        columns, rows = [i for i, _ in inside], [j for _, j in inside]
        centred = (
            min(max((min(columns) + max(columns) + 1 - width) // 2, 0), chip.size_wh[0] - width),
            min(max((min(rows) + max(rows) + 1 - height) // 2, 0), chip.size_wh[1] - height),
        )
        x, y = centred if centred in best else best[0]
        return (x, y, x + width, y + height)

    images, result = [(Chip.full(image_wh), 0)], []
    while images:
        image, depth = images.pop(0)
        if depth == max_rescales:
            result.append(image)
            continue
        (s,) = scale_net([image])
        coordinates = [(i, j) for j in range(s.shape[0]) for i in range(s.shape[1])]
        p_l = {(i, j) for i, j in coordinates if s[j, i] > r_h}
        p_s = {(i, j) for i, j in coordinates if 0 < s[j, i] < r_l}
        if not p_l and not p_s:
            result.append(image)
            continue
        for pixels, out_of_range in ((p_l, lambda v: v > r_h), (p_s, lambda v: v < r_l)):
            while pixels:
                window = locate(image, pixels)
                inside = {(i, j) for i, j in pixels if window[0] <= i < window[2] and window[1] <= j < window[3]}
                scale = top_k([float(s[j, i]) for i, j in inside])
                if out_of_range(scale):
                    images.append((window_chip(image, window, 1 / scale), depth + 1))
                else:
                    result.append(window_chip(image, window, 1.0))
                pixels -= inside
    return result


@pytest.mark.parametrize('seed', range(6))
def test_windows_are_those_of_the_pseudo_code(seed):
    rng = np.random.default_rng(seed)
    objects = [(*rng.integers(0, 20, 2), rng.integers(1, 9)) for _ in range(4)]
    predict = look_at(scene(objects, (28, 24), 4.0))
    rule = RegressionRule(lower=0.8, upper=1.25, top_k=0.15)
    options = WindowSettings(rule, 10, max_factor=100.0, share_visited=False, final_only=True)
    for depth in (0, 1, 2):
        ours = recursive_views((28, 24), predict, options, max_rescales=depth)
        paper = transcription((28, 24), predict, 0.8, 1.25, 10, 0.15, depth)
        # The paper's list I has no order; ours goes round by round.
        assert sorted(ours, key=repr) == sorted(paper, key=repr)
    assert len(ours) > 1


def test_small_object_is_enlarged_and_the_image_comes_first():
    field = scene([(10, 12, 4), (60, 20, 20)], (100, 80), 10.0)
    rule = ClassRule(small=(1,), threshold=0.3)
    views = RecursiveChips(rule, window=32).views((100, 80), as_classes(look_at(field)))
    # 0.4 is small, at x2 it is 0.8: one window, once rescaled.
    assert views == [Chip.full((100, 80)), Chip((0, 0, 32, 32), (64, 64))]


def test_tiny_object_is_enlarged_twice():
    field = scene([(50, 40, 2)], (100, 80), 10.0)
    rule = ClassRule(small=(1,), threshold=None)
    first = Chip((35, 25, 67, 57), (64, 64))
    chips = RecursiveChips(rule, window=32, max_rescales=1).views((100, 80), as_classes(look_at(field)))
    assert chips == [Chip.full((100, 80)), first]
    # 0.2, 0.4, 0.8: the second window lies in the first, at x4.
    *before, second = RecursiveChips(rule, window=32).views((100, 80), as_classes(look_at(field)))
    assert before == [Chip.full((100, 80)), first]
    assert first.encloses(np.array([second.xyxy])).all() and second.encloses(np.array([[50, 40, 52, 42]])).all()
    assert second.factor == pytest.approx(4.0) and second.wh == (17, 17)


def test_large_object_is_shrunk():
    field = scene([(0, 0, 40)], (60, 60), 10.0)
    rule = RegressionRule(upper=2.0)
    views = RecursiveChips(rule, window=60, final_only=True).views((60, 60), look_at(field))
    assert views == [Chip((0, 0, 60, 60), (15, 15))]


def test_bound_on_a_single_rescaling():
    field = scene([(5, 5, 1)], (20, 20), 100.0)
    rule = RegressionRule(lower=0.9)
    views = RecursiveChips(rule, window=20, max_factor=3.0, max_rescales=1).views((20, 20), look_at(field))
    assert views == [Chip.full((20, 20)), Chip((0, 0, 20, 20), (60, 60))]


def test_nothing_out_of_range_is_the_image_alone():
    generator = RecursiveChips(ClassRule(), window=16)
    background = as_classes(look_at(np.zeros((30, 40))))
    assert generator.views((40, 30), background) == [Chip.full((40, 30))]
    assert RecursiveChips(ClassRule(), 16, final_only=True).views((40, 30), background) == [Chip.full((40, 30))]


def test_image_smaller_than_a_window_is_rescaled_whole():
    field = scene([(2, 2, 2)], (9, 7), 10.0)
    views = RecursiveChips(ClassRule(), window=32, max_rescales=1).views((9, 7), as_classes(look_at(field)))
    assert views == [Chip.full((9, 7)), Chip((0, 0, 9, 7), (18, 14))]


def test_all_small_covers_the_image():
    field = np.full((50, 70), 0.1)
    views = RecursiveChips(ClassRule(), window=32, max_rescales=1).views((70, 50), as_classes(look_at(field)))
    seen = np.zeros((50, 70), bool)
    for chip in views[1:]:
        x1, y1, x2, y2 = chip.xyxy
        assert chip.wh == (32, 32) and chip.size_wh == (64, 64)
        seen[y1:y2, x1:x2] = True
    assert seen.all() and len(views) - 1 == 6


def test_all_large_is_shrunk_everywhere():
    predict = as_classes(look_at(np.full((50, 70), 9.0)))
    views = RecursiveChips(ClassRule((1,), (3,)), window=32, max_rescales=1).views((70, 50), predict)
    assert {c.size_wh for c in views[1:]} == {(16, 16)} and len(views) == 7


def test_windows_at_corners_stay_inside():
    field = scene([(0, 0, 3), (97, 0, 3), (0, 77, 3), (97, 77, 3)], (100, 80), 10.0)
    views = RecursiveChips(ClassRule(), window=32, max_rescales=1).views((100, 80), as_classes(look_at(field)))
    assert {c.xyxy for c in views[1:]} == {(0, 0, 32, 32), (68, 0, 100, 32), (0, 48, 32, 80), (68, 48, 100, 80)}


def test_scale_net_looks_at_its_own_size():
    field = scene([(20, 24, 8)], (200, 160), 20.0)
    asked = []

    def predict(chips):
        asked.append([c.size_wh for c in chips])
        return as_classes(look_at(field))(chips)

    generator = RecursiveChips(ClassRule(), window=128, level=2.0, look=0.5, margin=8)
    views = generator.views((200, 160), predict)
    # The image is seen at 100x80, where the object has 4 px: 0.2; a window of 128 px of the 400x320 view at 2/8.
    assert asked == [[(100, 80)], [(64, 64)]]
    assert views[:2] == [Chip.full((200, 160), (400, 320)), Chip((0, 0, 64, 64), (256, 256))]
    assert generator.whole_view((200, 160)) == views[0]


def test_overlapping_windows_look_for_their_own_pixels():
    """Objects in the overlap of two windows are enlarged again once, or, as in the paper, once per window."""
    rng = np.random.default_rng(3)
    objects = [(*rng.integers(0, 70, 2), 2) for _ in range(40)]
    predict = as_classes(look_at(scene(objects, (80, 80), 10.0)))
    options = dict(rule=ClassRule(), window=40, margin=4)
    shared = RecursiveChips(**options).views((80, 80), predict)
    alone = RecursiveChips(**options, share_visited=False).views((80, 80), predict)
    assert len(set(shared)) == len(shared) < len(alone)
    finest = [c for c in shared if c.factor > 3]
    for x, y, side in objects:
        assert any(c.encloses(np.array([[x, y, x + side, y + side]])).all() for c in finest)


def test_too_few_pixels_are_not_looked_into():
    field = scene([(10, 10, 3), (60, 60, 2)], (80, 80), 10.0)
    predict = as_classes(look_at(field))
    views = RecursiveChips(ClassRule(), window=20, min_pixels=5, max_rescales=1).views((80, 80), predict)
    assert len(views) == 2 and views[1].encloses(np.array([[10, 10, 13, 13]])).all()


maps_of_noise = st.sampled_from(['all small', 'all large', 'checkerboard', 'noise', 'sparse', 'background'])


@settings(max_examples=60, deadline=None)
@given(
    image_wh=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    window=st.integers(1, 40),
    margin=st.integers(0, 6),
    level=st.floats(0.3, 2.5),
    look=st.one_of(st.none(), st.floats(0.2, 2.0)),
    kind=maps_of_noise,
    by_class=st.booleans(),
    share=st.booleans(),
    final_only=st.booleans(),
    depth=st.integers(0, 2),
    seed=st.integers(0, 2**16),
)
def test_ends_on_any_map(image_wh, window, margin, level, look, kind, by_class, share, final_only, depth, seed):
    """Whatever the maps say, even when they contradict each other: bounded rounds, chips inside the image."""
    rng = np.random.default_rng(seed)
    rounds = []

    def adversarial(chips):
        rounds.append(len(chips))
        maps = []
        for chip in chips:
            shape = chip.size_wh[::-1]
            relative = {
                'all small': lambda s: np.full(s, 1e-30),
                'all large': lambda s: np.full(s, 1e30),
                'checkerboard': lambda s: np.indices(s).sum(axis=0) % 2 * 1e-3,
                'noise': lambda s: rng.random(s) * 3,
                'sparse': lambda s: np.where(rng.random(s) < 0.02, 0.1, 0.0),
                'background': np.zeros,
            }[kind](shape)
            labels = np.where(relative == 0, 0, 1 + np.digitize(relative, (0.5, 2.0)))
            classes = (labels == np.arange(4)[:, None, None]).astype(np.float32)
            maps.append(classes if by_class else relative)
        return maps

    rule = ClassRule((1,), (3,)) if by_class else RegressionRule(0.5, 2.0)
    margin = min(margin, (window - 1) // 2)
    # Windows of one pixel on a map of many would only take long.
    window = max(window, 2 * margin + 1, max(image_wh) // 4)
    generator = RecursiveChips(
        rule, window, level, look, depth, margin, share_visited=share, final_only=final_only, max_factor=2.0
    )
    views = generator.views(image_wh, adversarial)
    assert len(rounds) <= depth
    assert views and len(views) <= 1 + sum(rounds) * 2 * max(image_wh) ** 2 * 9
    for chip in views:
        x1, y1, x2, y2 = chip.xyxy
        assert x1 >= 0 and y1 >= 0 and x2 <= image_wh[0] and y2 <= image_wh[1]
        assert chip.factor <= 3 * level * 2**depth * max(3.0, 1 / min(image_wh))
    if not final_only:
        assert views[0] == generator.whole_view(image_wh)


@pytest.mark.parametrize(
    ('bad', 'message'),
    [
        (lambda chip: np.full(chip.size_wh[::-1], np.nan), 'must be finite'),
        (lambda chip: np.zeros((chip.size_wh[1] + 1, chip.size_wh[0])), 'must have height'),
        (lambda chip: np.zeros((4, *chip.size_wh[::-1])), 'take a ClassRule'),
    ],
)
def test_bad_maps_are_one_error(bad, message):
    generator = RecursiveChips(RegressionRule(lower=0.5), window=8)
    with pytest.raises(ValueError, match=message):
        generator.views((20, 10), lambda chips: [bad(c) for c in chips])


def test_missing_predict_is_an_error():
    with pytest.raises(ValueError, match='RecursiveChips needs predict'):
        RecursiveChips(ClassRule(), window=8).views((20, 10))


@pytest.mark.parametrize(
    ('option', 'message'),
    [
        (dict(window=0), 'window'),
        (dict(window=8, margin=4), 'wider than twice its margin'),
        (dict(max_rescales=-1), 'max_rescales'),
        (dict(min_pixels=0), 'min_pixels'),
        (dict(max_factor=1.0), 'max_factor'),
        (dict(level=0), 'factor of a level'),
        (dict(rule=dict(type='ClassRule', small=())), 'some classes'),
    ],
)
def test_bad_options_are_errors(option, message):
    with pytest.raises(ValueError, match=message):
        RecursiveChips(**{'rule': dict(type='ClassRule'), 'window': 32, **option})
