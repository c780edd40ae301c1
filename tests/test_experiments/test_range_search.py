import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmisn.experiments.range_report import write_search
from mmisn.experiments.range_search import LOWERS, UPPERS, default_candidates, greedy_range_search

# Table 5 of the paper; (32, 496) and (32, 320) were not tried there.
PAPER = {
    (0, 640): 37.4,
    (16, 640): 38.2,
    (32, 640): 38.1,
    (16, 560): 38.7,
    (16, 496): 37.9,
    (16, 320): 37.2,
    (32, 560): 38.4,
}


def recorded(score):
    calls = []

    def evaluate(ranges):
        calls.append(list(ranges))
        return [score(r) for r in ranges]

    return evaluate, calls


def test_the_search_of_the_paper():
    # [0, 560] is the one range of its third round that the paper leaves out.
    evaluate, calls = recorded({**PAPER, (0, 560): 38.0}.get)
    result = greedy_range_search(evaluate)
    assert calls == [[(0, 640), (16, 640), (32, 640)], [(16, 560), (16, 496), (16, 320)], [(0, 560), (32, 560)]]
    assert [(r.bound, r.best) for r in result.rounds] == [
        ('lower', (16, 640)),
        ('upper', (16, 560)),
        ('lower', (16, 560)),
    ]
    assert (result.best, result.score, result.is_interior) == ((16, 560), 38.7, True)
    assert result.scores == {**PAPER, (0, 560): 38.0}


SCORES = st.lists(st.integers(0, 5), min_size=len(LOWERS) * len(UPPERS), max_size=len(LOWERS) * len(UPPERS))


@given(SCORES, st.sampled_from(LOWERS), st.sampled_from(UPPERS))
@settings(deadline=None, max_examples=200)
def test_the_end_is_the_best_of_its_row_and_of_its_column(values, lower, upper):
    table = dict(zip(itertools.product(LOWERS, UPPERS), values))
    evaluate, calls = recorded(table.get)
    result = greedy_range_search(evaluate, start=(lower, upper))
    asked = [r for call in calls for r in call]
    assert len(asked) == len(set(asked))
    assert result.scores == {r: table[r] for r in asked}
    best_lower, best_upper = result.best
    assert result.score == max(table[low, best_upper] for low in LOWERS) == max(table[best_lower, up] for up in UPPERS)
    assert result.score >= table[lower, upper]
    assert result.is_interior == (best_lower == 16 and best_upper in (560, 496))


def test_a_bound_that_stands_is_kept_among_equals():
    evaluate, calls = recorded(lambda r: 1.0)
    result = greedy_range_search(evaluate, start=(16, 496))
    assert result.best == (16, 496)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(lowers=[]), 'candidates for both bounds'),
        (dict(uppers=[]), 'candidates for both bounds'),
        (dict(lowers=[16, 400]), r'below every upper bound, got \[16.0, 400.0\]'),
        (dict(lowers=[-1, 16]), r'0 <= lower < upper, got \[-1.0'),
        (dict(start=(8, 640)), r'cannot start at \[8.0, 640.0\]'),
    ],
)
def test_bad_candidates(arguments, message):
    with pytest.raises(ValueError, match=message):
        greedy_range_search(lambda ranges: [0.0] * len(ranges), **arguments)


@pytest.mark.parametrize('scores', [lambda ranges: [math.nan] * len(ranges), lambda ranges: [1.0]])
def test_bad_scores(scores):
    with pytest.raises(ValueError, match='one score per range'):
        greedy_range_search(scores)


@pytest.mark.parametrize(
    ('scale_range', 'lowers', 'uppers'),
    [
        ((16, 560), [0, 16, 32], [640, 560, 496, 320]),
        ((6.4, 224), [0, 6.4, 12.8], [256, 224, 198.4, 128]),
        ((0, 560), [0], [640, 560, 496, 320]),
    ],
)
def test_default_candidates_are_those_of_the_paper_in_proportion(scale_range, lowers, uppers):
    assert default_candidates(scale_range) == (lowers, uppers)


def test_the_report_names_every_trial_and_the_choice(tmp_path):
    result = greedy_range_search(recorded({r: v / 100 for r, v in {**PAPER, (0, 560): 38.0}.items()}.get)[0])
    page = write_search(result, 'bbox_mAP', tmp_path / 'search', ['a note'])
    assert page == (tmp_path / 'search.md').read_text()
    assert 'Chosen: [16, 560] with bbox_mAP 38.7 after 8 trials. Both bounds have worse candidates' in page
    assert page.endswith('- a note\n')
    lines = (tmp_path / 'search.csv').read_text().splitlines()
    # The third round repeats the score of [16, 560]; the second that of [16, 640].
    assert len(lines) == 1 + 3 + 4 + 3
    assert lines[0] == 'round,bound,lower_px,upper_px,bbox_mAP,best'
    assert [line for line in lines if line.endswith('True')] == [
        '1,lower,16.0,640.0,0.382,True',
        '2,upper,16.0,560.0,0.387,True',
        '3,lower,16.0,560.0,0.387,True',
    ]
    assert (tmp_path / 'search.png').stat().st_size > 5000


def test_a_choice_at_the_end_of_its_candidates_is_said():
    result = greedy_range_search(lambda ranges: [upper - lower for lower, upper in ranges])
    assert (result.best, result.is_interior) == ((0, 640), False)
