"""Algorithm 1 against literal transcriptions that share no code with it: classes, depth 3, whole pictures.

The subimages of the transcription are tuples (x1, y1, x2, y2, width, height): a rectangle of the image and the size at
which it is seen. Documented choices are written down here anew: ties between windows, how a window in a view becomes
whole pixels of the image, and that sides of whole pictures keep their parity.
"""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import ClassRule, RecursiveChips, RegressionRule, WindowSettings, recursive_views
from mmisn.chips.rescale import rescale_recursively


def noisy_net(seed, classes=4):
    """A made-up net: softmax of noise that follows from the view alone, smooth enough for windows of several pixels."""

    def predict(chips):
        maps = []
        for chip in chips:
            width, height = chip.size_wh
            rng = np.random.default_rng((seed, *chip.xyxy, *chip.size_wh))
            coarse = rng.normal(size=(classes, height // 3 + 1, width // 3 + 1))
            logits = 2.5 * coarse.repeat(3, axis=1).repeat(3, axis=2)[:, :height, :width]
            logits[0] += 1.5
            maps.append(np.exp(logits) / np.exp(logits).sum(axis=0))
        return maps

    return predict


class View:
    """What ``noisy_net`` reads of a chip, made of a tuple."""

    def __init__(self, subimage):
        self.xyxy, self.size_wh = tuple(subimage[:4]), tuple(subimage[4:])


def classes_of_pixels(s, small, large, threshold):
    """P_s and P_l, pixel by pixel: the two methods of the paper."""
    p_s, p_l = set(), set()
    for j in range(s.shape[1]):
        for i in range(s.shape[2]):
            values = [float(v) for v in s[:, j, i]]
            if threshold is None:
                best = values.index(max(values))
                is_small, is_large = best in small, best in large
            else:
                of_small, of_large = (sum(values[c] for c in classes) for classes in (small, large))
                is_small = of_small > threshold and of_small >= of_large
                is_large = of_large > threshold and of_large > of_small
            if is_small:
                p_s.add((i, j))
            if is_large:
                p_l.add((i, j))
    return p_s, p_l


def locate(size_wh, window_size, pixels):
    """Brute force over all positions; of equal ones the one around its pixels' middle, else the first, row by row."""
    width, height = (min(window_size, side) for side in size_wh)
    counts = {
        (x, y): sum(x <= i < x + width and y <= j < y + height for i, j in pixels)
        for y in range(size_wh[1] - height + 1)
        for x in range(size_wh[0] - width + 1)
    }
    most = max(counts.values())
    x, y = next(place for place, count in counts.items() if count == most)
    inside = [(i, j) for i, j in pixels if x <= i < x + width and y <= j < y + height]
    middle = []
    for axis, length in ((0, width), (1, height)):
        places = [p[axis] for p in inside]
        start = math.floor((min(places) + max(places) + 1 - length) / 2)
        middle.append(min(max(start, 0), size_wh[axis] - length))
    if counts[tuple(middle)] == most:
        x, y = middle
    return x, y, x + width, y + height


def cut(subimage, window, factor):
    """The window as a subimage: whole pixels of the image around it, of one length for all windows of a view.

    Where a view's pixel is no whole number of the image's, that is one more than the window's length rounded up.
    """
    corner, rect = subimage[:2], (subimage[2] - subimage[0], subimage[3] - subimage[1])
    seen = subimage[4:]
    low, high = [], []
    for axis in (0, 1):
        scale = rect[axis] / seen[axis]
        pixels = (window[axis + 2] - window[axis]) * scale
        if window[axis] == 0 and window[axis + 2] == seen[axis]:
            length = rect[axis]
        elif rect[axis] % seen[axis] == 0:
            length = round(pixels)
        else:
            length = min(math.ceil(pixels - 1e-9) + 1, rect[axis])
        start = min(math.floor(window[axis] * scale + 1e-9), rect[axis] - length)
        low.append(corner[axis] + start)
        high.append(corner[axis] + start + length)
    # The factor of a view whose sides are rounded: the geometric mean along x and y.
    gain = math.sqrt(seen[0] / rect[0] * seen[1] / rect[1]) * factor
    return (*low, *high, *(max(1, round((b - a) * gain)) for a, b in zip(low, high)))


def transcription(image_wh, scale_net, small, large, threshold, window_size, magnification, max_rescales):
    """Algorithm 1 for classes; a region whose rescaling is used up is final."""
    images, result = [((0, 0, *image_wh, *image_wh), 0)], []
    while images:
        following = []
        for image, depth in images:
            if depth == max_rescales:
                result.append(image)
                continue
            (s,) = scale_net([View(image)])
            p_s, p_l = classes_of_pixels(s, small, large, threshold)
            if not p_l and not p_s:
                result.append(image)
                continue
            for pixels, factor in ((p_l, 1 / magnification), (p_s, magnification)):
                while pixels:
                    window = locate(image[4:], window_size, pixels)
                    following.append((cut(image, window, factor), depth + 1))
                    # "S_IL <- 0": what lies in the window is visited.
                    pixels -= {(i, j) for i, j in pixels if window[0] <= i < window[2] and window[1] <= j < window[3]}
        images = following
    return result


def as_tuples(chips):
    return sorted((*chip.xyxy, *chip.size_wh) for chip in chips)


@pytest.mark.parametrize('threshold', [0.3, 0.6, None])
@pytest.mark.parametrize(('small', 'large'), [((1,), ()), ((1, 2), (3,)), ((2,), (1, 3))])
@pytest.mark.parametrize('seed', range(2))
def test_windows_of_classes(seed, small, large, threshold):
    rule = ClassRule(small, large, threshold, factor=2.0)
    for wh, size, depth in (((19, 15), 8, 1), ((13, 11), 7, 2)):
        options = WindowSettings(rule, size, share_visited=False, final_only=True)
        ours = recursive_views(wh, noisy_net(seed), options, max_rescales=depth)
        paper = transcription(wh, noisy_net(seed), small, large, threshold, size, 2.0, depth)
        assert as_tuples(ours) == sorted(paper)
        assert len(ours) > 1


@pytest.mark.parametrize('threshold', [0.45, None])
@pytest.mark.parametrize('seed', range(3))
def test_depth_of_three(seed, threshold):
    """Classes both ways, so that some regions end early and others are enlarged and shrunk by turns."""
    options = WindowSettings(ClassRule((1,), (2,), threshold, 1.6), 7, share_visited=False, final_only=True)
    asked = []

    def counted(chips):
        asked.append(len(chips))
        return noisy_net(seed)(chips)

    ours = recursive_views((9, 8), counted, options, max_rescales=3)
    assert as_tuples(ours) == sorted(transcription((9, 8), noisy_net(seed), (1,), (2,), threshold, 7, 1.6, 3))
    assert len(asked) == 3 and len(ours) > asked[-1] > 1


# Whole pictures


def by_class(s, small, large, threshold, magnification):
    """The factor of a picture of classes, ``None`` in range: its side is that of more pixels, of equal many small."""
    p_s, p_l = classes_of_pixels(s, small, large, threshold)
    if not p_s and not p_l:
        return None
    return magnification if len(p_s) >= len(p_l) else 1 / magnification


def by_scale(s, r_l, r_h, k):
    """Lines 6 to 21 where the window is the picture: Top-K over the object's pixels, 1 / Top-K where it is beyond."""
    values = sorted((float(v) for row in s for v in row if v > 0), reverse=True)
    if not values:
        return None
    values = values[: max(1, round(k * len(values)))]
    scale = sum(values) / len(values)
    return 1 / scale if scale > r_h or scale < r_l else None


def rescaled_whole(image_wh, scale_net, factor_of, max_rescales, sides):
    """The recursion on one picture: the sizes that it is seen at, and whether it ended in range."""

    def side_of(side, total):
        """The nearest size of the picture's own parity, so that its centre stays where it is."""
        odd = side % 2
        return odd + 2 * max(1 - odd, round((side * total - odd) / 2))

    def bounded(total):
        least, most = min(1.0, sides[0] / min(image_wh)), max(1.0, sides[1] / max(image_wh))
        return max(least, min(most, total))

    seen, total = [tuple(image_wh)], 1.0
    while True:
        factor = factor_of(scale_net(seen[-1]))
        if factor is None:
            return seen, True
        if len(seen) > max_rescales:
            return seen, False
        total = bounded(total * factor)
        size = tuple(side_of(side, total) for side in image_wh)
        if size == seen[-1]:
            # Less than a pixel: a step of two pixels along the longer side.
            total = bounded((max(seen[-1]) + (2 if factor > 1 else -2)) / max(image_wh))
            size = tuple(side_of(side, total) for side in image_wh)
        if size in seen:
            return seen, False
        seen.append(size)


def net_of_sizes(seed, kind):
    def predict(size_wh):
        rng = np.random.default_rng((seed, *size_wh))
        shape = size_wh[::-1]
        if kind == 'scale':
            # Above the true scale by up to a half, with holes of background.
            return rng.uniform(0.6, 1.5, shape) * size_wh[0] / 16 * (rng.random(shape) < 0.7)
        logits = rng.normal(size=(4, *shape)) + np.reshape([1.0, 0.5, 0.0, size_wh[0] / 16 - 1], (4, 1, 1))
        return np.exp(logits) / np.exp(logits).sum(axis=0)

    return predict


RULES = {
    'scale': (RegressionRule(0.9, 1.2, 0.15), lambda s: by_scale(s, 0.9, 1.2, 0.15)),
    'upper': (RegressionRule(upper=1.05, top_k=0.1), lambda s: by_scale(s, 0.0, 1.05, 0.1)),
    'threshold': (ClassRule((1,), (3,), 0.45, 1.5), lambda s: by_class(s, (1,), (3,), 0.45, 1.5)),
    'argmax': (ClassRule((1, 2), (3,), None, 2.0), lambda s: by_class(s, (1, 2), (3,), None, 2.0)),
}


@pytest.mark.parametrize('name', RULES)
def test_whole_pictures(name):
    rule, factor_of = RULES[name]
    kind = 'scale' if name in ('scale', 'upper') else 'classes'
    sizes = [(28, 28), (9, 7), (33, 12), (64, 64), (16, 16), (1, 5)]
    nets = [net_of_sizes(seed, kind) for seed in range(len(sizes))]

    def predict(numbers, chips):
        return [nets[n](chip.size_wh) for n, chip in zip(numbers, chips)]

    for depth, sides in ((1, (4, 512)), (3, (4, 512)), (12, (6, 80))):
        paths = rescale_recursively(sizes, predict, rule, depth, sides)
        for path, wh, net in zip(paths, sizes, nets):
            expected, ended = rescaled_whole(wh, net, factor_of, depth, sides)
            assert [chip.size_wh for chip in path.chips] == expected and path.ended == ended
            assert {chip.xyxy for chip in path.chips} == {(0, 0, *wh)}
    assert max(path.rescales for path in paths) > 1


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes_wh=st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), max_size=4),
    threshold=st.one_of(st.none(), st.floats(0, 0.99)),
    factor=st.floats(1.001, 50),
)
def test_whole_pictures_of_classes_end(seed, sizes_wh, threshold, factor):
    """Whatever the maps say: the depth and the sides are bounded, and no view comes back."""
    rng, calls = np.random.default_rng(seed), []

    def predict(numbers, chips):
        calls.append(len(chips))
        kinds = [np.zeros(3), np.ones(3) / 3, *np.eye(3)]
        return [np.stack([kinds[n] for n in rng.integers(0, 5, c.num_pixels)], 1).reshape(3, *c.size_wh[::-1])
                for c in chips]  # fmt: skip

    rule = ClassRule((1,), (2,), threshold, factor)
    paths = rescale_recursively(sizes_wh, predict, rule, max_rescales=6, side_range=(2, 60))
    assert len(paths) == len(sizes_wh) and len(calls) <= 7
    for path, wh in zip(paths, sizes_wh):
        assert path.rescales <= 6 and len(path.factors) == len(path.chips) == len(set(path.chips))
        assert path.ended == (path.factors[-1] is None) and None not in path.factors[:-1]
        assert set(path.factors) <= {None, factor, 1 / factor}
        # Sides keep their parity, which may take one pixel more than the bound.
        assert all(max(c.size_wh) <= 61 and c.size_wh[0] % 2 == wh[0] % 2 for c in path.chips)


# The default: windows of a round share what they have visited


@settings(max_examples=40, deadline=None)
@given(
    image_wh=st.tuples(st.integers(1, 48), st.integers(1, 48)),
    window=st.integers(6, 40),
    margin=st.integers(0, 2),
    share=st.floats(0.0, 1.0),
    depth=st.integers(1, 3),
    seed=st.integers(0, 2**16),
)
def test_shared_windows_visit_every_pixel(image_wh, window, margin, share, depth, seed):
    """Ends after ``depth`` looks; windows inside the image; each pixel out of range of the first map in one at x2."""
    rounds, first = [], []

    def predict(chips):
        rounds.append(len(chips))
        maps = []
        for chip in chips:
            rng = np.random.default_rng((seed, *chip.xyxy, *chip.size_wh))
            small = (rng.random(chip.size_wh[::-1]) < share).astype(float)
            maps.append(np.stack((1 - small, small)))
        first.append(maps[0])
        return maps

    views = RecursiveChips(ClassRule(), window, max_rescales=depth, margin=margin).views(image_wh, predict)
    assert 1 <= len(rounds) <= depth and rounds[0] == 1
    assert len(set(views)) == len(views) and views[0].xyxy == (0, 0, *image_wh)
    seen = np.zeros(image_wh[::-1], bool)
    for chip in views[1:]:
        x1, y1, x2, y2 = chip.xyxy
        assert 0 <= x1 < x2 <= image_wh[0] and 0 <= y1 < y2 <= image_wh[1]
        assert 1.9 < chip.factor < 2.1**depth
        if chip.factor < 2.1:
            # In the inner part: nearer to the window's edge only where that is the image's.
            left, top = (start + margin * (start > 0) for start in (x1, y1))
            right, bottom = x2 - margin * (x2 < image_wh[0]), y2 - margin * (y2 < image_wh[1])
            seen[top:bottom, left:right] = True
    assert seen[first[0][1] > 0].all()
    assert (len(views) > 1) == bool(first[0][1].any())
