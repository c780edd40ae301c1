"""Suggested factors and range against a search over everything, written out object by object."""

import itertools
import math
import warnings

import numpy as np
import pytest

from mmisn.chips.scale_fit import choose_factors, choose_range, mean_megapixels, range_candidates
from mmisn.chips.suggest import suggest
from mmisn.structures import ScaleRange

IMAGES = [(640, 480)] * 3 + [(333, 500)]


def _log_uniform(lower, upper, number=2000, seed=0):
    return 2 ** np.random.default_rng(seed).uniform(math.log2(lower), math.log2(upper), number)


def _cheapest_row(scales, lower, upper, coverage, largest=2):
    """Rule 1 by looking at each row of factors and each object."""
    exponents = range(-6, largest + 1)

    def seen(scale, row):
        return any(lower <= 2.0**e * scale <= upper for e in row)

    reachable = [s for s in scales if seen(s, exponents)]
    rows = [range(a, b + 1) for a in exponents for b in exponents if a <= b]
    rows = [r for r in rows if sum(seen(s, r) for s in reachable) >= coverage * len(reachable)]
    best = min(rows, key=lambda row: sum(4.0**e for e in row))
    return tuple(2.0**e for e in reversed(best))


@pytest.mark.parametrize('seed', range(4))
@pytest.mark.parametrize(
    ('lower', 'upper'), [(3, 640), (8, 150), (40, 90), (100, 4000), (1, 3000), (33, 34), (0.5, 3), (9000, 10000)]
)
def test_factors_of_log_uniform_scales_against_a_search(lower, upper, seed):
    scales = _log_uniform(lower, upper, 300, seed)
    coverage = (0.99, 0.9, 1.0, 0.95)[seed]
    expected = (4.0,) if scales.max() < 8 else _cheapest_row(scales.tolist(), 32, 160, coverage)
    assert choose_factors(scales, np.array(IMAGES), ScaleRange(32, 160), coverage) == expected
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert suggest(scales, IMAGES, coverage).factors == expected


@pytest.mark.parametrize('seed', range(8))
def test_range_against_a_search(seed):
    rng = np.random.default_rng(seed)
    scales = _log_uniform(*sorted(2 ** rng.uniform(0, 11, 2)), 400, seed)
    factors = [2.0**e for e in range(2, -4, -1)][: rng.integers(1, 7)]
    coverage = rng.uniform(0.6, 1)
    pairs = list(itertools.product((32, 16, 8), (560, 1120, 2240)))
    pairs.sort(key=lambda p: (p[1] / p[0], -p[0]))
    enough = [
        p for p in pairs if np.mean([any(p[0] <= f * s <= p[1] for f in factors) for s in scales]) >= coverage
    ] + [(8, 2240)]
    chosen = suggest(scales, IMAGES, coverage, factors=factors, chip_size=5000).scale_range
    assert (chosen.lower, chosen.upper, chosen.frame) == (*enough[0], 'view')


def test_scales_like_cocos_give_about_the_papers_numbers():
    # Box scales of COCO: 3 % below 8 px, 15 % below 16 px, a median of 44 px, 1 % above 440 px, nothing above 640 px.
    shares = [0, 0.0025, 0.03, 0.15, 0.5, 0.75, 0.9, 0.99, 1]
    scales = np.exp(np.interp(np.linspace(0, 1, 4001), shares, np.log([2, 4, 8, 16, 44, 99, 196, 440, 640])))
    result = suggest(scales, [(640, 480)])
    assert result.factors == (4.0, 2.0, 1.0, 0.5, 0.25)
    assert (result.scale_range.lower, result.scale_range.upper) == (16, 560)
    assert result.covered == pytest.approx(np.mean((scales * 4 >= 16) & (scales * 0.25 <= 560)))
    # The small profile: everything times 0.4.
    small = suggest(scales * 0.4, [(256, 192)], chip_size=232)
    assert small.factors == result.factors
    assert (small.scale_range.lower, small.scale_range.upper) == (6.44, 226)


def test_shares_and_costs_of_levels():
    scales = np.array([4.0, 139.9, 140.0, 140.1, 2240.0, 2241.0, 3.9])
    levels = suggest(scales, IMAGES, coverage=0.7, factors=[0.25, 4], scale_range=None).levels
    # The lowest candidate that holds 70 %: both bounds of [16, 560] belong to it.
    assert [level.range_original for level in levels] == [(4.0, 140.0), (64.0, 2240.0)]
    assert [level.in_range for level in levels] == pytest.approx([3 / 7, 4 / 7])
    assert [level.only for level in levels] == pytest.approx([1 / 7, 2 / 7])
    # 333 / 4 and 500 / 4 are rounded as mmcv does.
    pixels = (3 * 160 * 120 + 83 * 125) / 4
    assert levels[1].megapixels == pytest.approx(pixels / 1e6)
    assert mean_megapixels(np.array(IMAGES), 4.0) == pytest.approx((3 * 2560 * 1920 + 1332 * 2000) / 4 / 1e6)


def test_a_given_range_limits_what_is_comfortable():
    scales = _log_uniform(20, 400, 500)
    # Within [64, 128] px an octave is left: enough for neighbouring factors.
    assert suggest(scales, IMAGES, 1.0, scale_range=(64, 128)).factors == _cheapest_row(scales.tolist(), 64, 128, 1.0)
    # Within [100, 1000] only [100, 160] is comfortable, less than an octave, so the range itself counts.
    given = suggest(scales, IMAGES, 1.0, scale_range=(100, 1000))
    assert given.factors == _cheapest_row(scales.tolist(), 100, 1000, 1.0)
    assert given.scale_range == ScaleRange(100, 1000)
    with pytest.warns(UserWarning, match='are in range of no level of'):
        suggest(scales, IMAGES, 0.5, scale_range=(100, 150))


def test_range_candidates():
    assert [(r.lower, r.upper) for r in range_candidates(576)] == [(32, 560), (16, 560), (8, 560)]
    pairs = [(32, 560), (32, 1120), (16, 560), (16, 1120), (8, 560), (8, 1120)]
    assert [(r.lower, r.upper) for r in range_candidates(1152)] == pairs
    assert [(r.lower, r.upper) for r in range_candidates(288)] == [(16, 280), (8, 280), (4, 280)]
    # The last is taken where none suffices.
    assert choose_range(np.array([1.0]), [1.0], range_candidates(576), 1.0) == ScaleRange(8, 560)


def test_reasons():
    large = suggest(np.full(50, 100.0), IMAGES)
    # At 0.5 they are 50 px, which is as comfortable and cheaper than 100 px.
    assert large.factors == (0.5,)
    assert large.reasons == (
        'Factors 0.5: the cheapest row of powers of two that shows 99 % of the objects at 32 to 160 px at some level.',
        'Range [32, 560] px: objects below 32 px are hard and best left to a larger factor; the factors give nearly '
        'all of them one. 0.0 % are above 560 px at the smallest factor, 0.5.',
    )
    tiny = suggest(np.r_[np.full(30, 1.5), np.full(70, 100.0)], IMAGES, max_factor=3)
    assert tiny.scale_range == ScaleRange(8, 560)
    assert tiny.covered == pytest.approx(0.7)
    assert '(30.0 % are below 32 px even at 2 and are not counted)' in tiny.reasons[0]
    assert 'but 30.0 % are below it at the largest factor, 0.5, too' in tiny.reasons[1]
    assert tiny.reasons[2].startswith(
        'Only 70.0 % of the objects are in range at some level, not 99 %: 30 are too small at factor 0.5 '
    )


@pytest.mark.parametrize(
    ('scales', 'options', 'message'),
    [
        ([], {}, 'there are 0 objects in 4 images'),
        ([5.0, math.nan], {}, '1 scales are not positive and finite, such as nan'),
        ([0.0], {}, 'not positive and finite, such as 0.0'),
        ([5.0], dict(coverage=0), r'coverage is a share of the objects, in \(0, 1\], got 0'),
        ([5.0], dict(coverage=1.1), 'got 1.1'),
        ([5.0], dict(chip_size=0), 'chip_size must be at least 1 view px, got 0'),
        ([5.0], dict(max_factor=0), 'max_factor must be at least'),
        ([5.0], dict(factors=[1], scale_range=(16, 560)), 'nothing is left to suggest'),
        ([5.0], dict(factors=[(1333, 800)]), r'sizes such as \(1333, 800\) have none'),
        ([5.0], dict(factors=[-1]), 'must be positive and finite'),
        ([5.0], dict(scale_range=(9, 5)), 'needs 0 <= lower < upper'),
        ([5.0], dict(scale_range=dict(lower=5, upper=9, frame='original')), 'in view pixels is suggested for'),
    ],
)
def test_bad_input(scales, options, message):
    with pytest.raises(ValueError, match=message):
        suggest(np.array(scales), IMAGES, **options)


def test_no_images():
    with pytest.raises(ValueError, match='there are 1 objects in 0 images'):
        suggest(np.array([5.0]), [])
