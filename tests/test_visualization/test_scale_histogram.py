"""Scales as the network sees them, against loops in plain Python and against the planner."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.chips import CoverChips, parse_level
from mmisn.datasets.chip_plan import ImageObjects, make_plan
from mmisn.structures import ScaleRange
from mmisn.visualization import (
    PAPER_RULES,
    ScaleRule,
    histogram,
    octave_edges,
    overlap,
    plot_scales,
    rule_of_generator,
    rule_of_pipeline,
    see_scales,
)
from mmisn.visualization.scale_histogram import histogram_rows, summary_row


def _random_images(seed, num_images=6, num_objects=30):
    rng = np.random.default_rng(seed)
    images = []
    for _ in range(num_images):
        width, height = rng.integers(100, 700, 2).tolist()
        start = rng.random((num_objects, 2)) * (width - 2, height - 2)
        end = np.minimum(start + 2 ** (rng.random((num_objects, 2)) * 9), (width, height))
        images.append(((width, height), np.concatenate((start, end), axis=1)))
    return images


def test_bounds_belong_to_the_range():
    boxes = np.array([[0, 0, 8, 8], [0, 0, 7.99, 8], [0, 0, 280, 280], [0, 0, 280.1, 280], [10, 20, 14, 84]], float)
    rule = ScaleRule.build('two', [2.0, 0.5], (16, 560))
    scales = see_scales([((300, 300), boxes)], rule)
    assert scales.original.tolist() == pytest.approx([8, math.sqrt(63.92), 280, math.sqrt(280.1 * 280), 16])
    assert scales.trained.tolist() == [[True, False], [False, False], [True, True], [False, True], [True, False]]
    np.testing.assert_allclose(scales.seen, scales.original[:, None] * [2, 0.5], rtol=1e-12)


def test_ranges_in_the_original_frame_and_sizes():
    # 600x400 at (1200, 800) is twice as large, at (300, 300) half.
    rule = ScaleRule.build(
        'snip', [(1200, 800), (300, 300)], [dict(upper=80, frame='original'), dict(lower=120, frame='original')]
    )
    boxes = np.array([[0, 0, 80, 80], [0, 0, 100, 100], [0, 0, 120, 120], [0, 0, 200, 200]], float)
    scales = see_scales([((600, 400), boxes)], rule)
    assert scales.trained.tolist() == [[True, False], [False, False], [False, True], [False, True]]
    assert scales.seen.tolist() == [[160, 40], [200, 50], [240, 60], [400, 100]]
    # Trained scales are 160, 60 and 100: four of the five ignored lie in their middle 90 %, [64, 154], or do not.
    ignored = [40, 200, 50, 240, 400]
    lower, upper = np.quantile([160, 60, 100], [0.05, 0.95])
    assert overlap(scales) == sum(lower <= v <= upper for v in ignored) / 5


def test_same_as_the_planner():
    images = _random_images(0)
    generator = dict(type='CoverChips', factors=[2.0, 1.0, 0.5], scale_range=(16, 200), chip_size=256)
    plan = make_plan(generator, [ImageObjects(*i) for i in images], 1)
    scales = see_scales(images, rule_of_generator('isn', generator))
    assert scales.in_range.sum(axis=0).tolist() == plan.in_range.tolist()
    assert scales.not_enclosed.sum(axis=0).tolist() == plan.not_enclosed.tolist()
    assert plan.not_enclosed.sum() > 0
    num, out_of_range, lost = plan.totals.tolist()
    assert num == 180
    assert (~scales.in_range.any(axis=1)).sum() == out_of_range
    assert (scales.in_range.any(axis=1) & ~scales.trained.any(axis=1)).sum() == lost


def test_histogram_and_summary_against_loops():
    images = _random_images(1)
    rule = ScaleRule.build('r', [2.0, (333, 200)], (30, 150))
    scales = see_scales(images, rule)
    edges, counts = histogram(scales)
    expected = np.zeros_like(counts)
    levels_of = []
    for (width, height), boxes in images:
        small = min(333 / max(width, height), 200 / min(width, height))
        for x1, y1, x2, y2 in boxes.tolist():
            size = math.sqrt((x2 - x1) * (y2 - y1))
            series = [(0, size)]
            w, h = int(width * small + 0.5), int(height * small + 0.5)
            seen = [2 * size, size * math.sqrt(w / width * h / height)]
            series += [(1 if 30 <= v <= 150 else 2, v) for v in seen]
            levels_of.append(sum(30 <= v <= 150 for v in seen))
            for column, value in series:
                row = max(i for i in range(len(edges) - 1) if edges[i] <= value)
                expected[row, column] += 1
    assert counts.tolist() == expected.tolist()
    assert counts.sum(axis=0).tolist() == [180, sum(levels_of), 360 - sum(levels_of), 0]
    some = 100 * np.mean(np.array(levels_of) > 0)
    row = summary_row(scales, 'name')
    assert row[:3] == ['name', '180', '2']
    assert row[3:7] == [f'{some:.1f}', f'{100 - some:.1f}', '0.0', f'{np.mean(levels_of):.2f}']
    rows = histogram_rows(edges, counts)
    assert [r[2:] for r in rows] == counts.tolist() and float(rows[0][0]) == pytest.approx(edges[0], rel=1e-5)


def test_isn_has_no_overlap_but_snip_has():
    images = _random_images(2, 20)
    isn = see_scales(images, ScaleRule.build('isn', [4.0, 2.0, 1.0, 0.5], (16, 560)))
    snip = see_scales(images, PAPER_RULES['snip'])
    assert overlap(isn) == 0
    assert overlap(snip) > 0.2
    assert math.isnan(overlap(see_scales(images, PAPER_RULES['single-scale'])))


def test_no_objects():
    scales = see_scales([((10, 10), np.zeros((0, 4)))], PAPER_RULES['isn'])
    edges, counts = histogram(scales)
    assert counts.sum() == 0 and len(edges) == len(counts) + 1
    assert summary_row(scales) == ['ISN', '0', '5', '-', '-', '-', '-', '-']


@settings(deadline=None, max_examples=200)
@given(st.lists(st.floats(1e-3, 1e5), min_size=1, max_size=20), st.integers(1, 12))
def test_edges_hold_all_scales(scales, per_octave):
    edges = octave_edges(np.array(scales), per_octave)
    assert np.histogram(scales, edges)[0].sum() == len(scales)
    assert edges[0] <= min(scales) < edges[1] * (1 + 1e-9)
    assert edges[-2] * (1 - 1e-9) <= max(scales) <= edges[-1]
    np.testing.assert_allclose(edges[1:] / edges[:-1], 2 ** (1 / per_octave))
    whole = np.log2(edges) * per_octave
    np.testing.assert_allclose(whole, whole.round(), atol=1e-9)


VIEW = ScaleRange(16, 560)
RESIZES = [
    ([dict(type='Resize', scale=(1333, 800), keep_ratio=True)], [(1333, 800)], [ScaleRange()]),
    ([dict(type='LoadImageFromFile')], [1.0], [ScaleRange()]),
    ([dict(type='Resize', scale_factor=0.5)], [0.5], [ScaleRange()]),
    (
        [
            dict(type='RandomChoiceResize', scales=[(1333, 608), (1333, 640)], keep_ratio=True),
            dict(type='FilterByScale', scale_range=(16, 560)),
        ],
        [(1333, 608), (1333, 640)],
        [VIEW, VIEW],
    ),
    (  # SNIP: a size and a range per branch
        [
            dict(
                type='RandomChoice',
                transforms=[
                    [
                        dict(type='Resize', scale=(2000, 1400), keep_ratio=True),
                        dict(type='FilterByScale', scale_range=dict(upper=80, frame='original')),
                    ],
                    [
                        dict(type='Resize', scale=(1200, 800), keep_ratio=True),
                        dict(type='FilterByScale', scale_range=dict(lower=40, upper=160, frame='original')),
                    ],
                ],
            ),
            dict(type='RandomFlip', prob=0.5),
        ],
        [(2000, 1400), (1200, 800)],
        [ScaleRange(0, 80, frame='original'), ScaleRange(40, 160, frame='original')],
    ),
]


@pytest.mark.parametrize(('pipeline', 'levels', 'ranges'), RESIZES)
def test_rule_of_pipeline(pipeline, levels, ranges):
    rule = rule_of_pipeline('p', pipeline)
    assert list(rule.levels) == levels and list(rule.ranges) == ranges and rule.chip_size is None


@pytest.mark.parametrize(
    ('transform', 'message'),
    [
        (dict(type='RandomResize', scale=(1333, 800), ratio_range=(0.1, 2)), 'no fixed list of sizes'),
        (dict(type='Resize', scale=(640, 640)), 'does not keep the aspect ratio'),
        (dict(type='RandomChoiceResize', scales=[(640, 640)]), 'does not keep the aspect ratio'),
    ],
)
def test_pipelines_without_levels_are_refused(transform, message):
    with pytest.raises(ValueError, match=message):
        rule_of_pipeline('p', [transform])


def test_rules_are_checked():
    with pytest.raises(ValueError, match='2 scale ranges for 1 levels'):
        ScaleRule.build('r', [1.0], [(0, 1), (1, 2)])
    with pytest.raises(ValueError, match='mask'):
        ScaleRule.build('r', [1.0], dict(lower=0, upper=9, measure='mask_area'))
    with pytest.raises(ValueError, match='object has no levels'):
        rule_of_generator('r', object())
    rule = rule_of_generator('r', CoverChips([2, (900, 600)], (16, 560), 320))
    assert rule.levels == (2.0, (900, 600)) and rule.ranges == (VIEW, VIEW) and rule.chip_size == 320


def test_parse_level():
    assert [parse_level(t) for t in ('0.5', '2', '1333x800')] == [0.5, 2.0, (1333, 800)]


def test_plot_shows_counts_and_bounds():
    isn = see_scales(_random_images(3), ScaleRule.build('ISN', [2.0, 1.0], (16, 560)))
    snip = see_scales(_random_images(3), PAPER_RULES['snip'])
    figure = plot_scales([isn, snip])
    assert len(figure.axes) == 4 and figure.get_size_inches()[0] * figure.dpi == 1400
    steps = [p for p in figure.axes[1].patches if not p.get_fill()]
    edges = steps[0].get_data().edges
    counts = histogram(isn, edges)[1]
    assert [s.get_data().values.tolist() for s in steps] == [counts[:, 1].tolist(), counts[:, 2].tolist()]
    drawn = [sorted(line.get_xdata()[0] for line in axes.lines) for axes in figure.axes]
    assert drawn == [[], [16, 560], [40, 80, 120, 160], []]
    assert all(axes.get_xscale() == 'log' for axes in figure.axes)
