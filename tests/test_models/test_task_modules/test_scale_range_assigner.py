import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData

import mmisn  # noqa: F401


def build(**kwargs):
    cfg = dict(type='ScaleRangeAssigner', pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    return TASK_UTILS.build({**cfg, **kwargs})


def boxes(*rows):
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, 4)


def assign(assigner, priors, valid=(), ignored=(), labels=None):
    labels = list(range(len(valid))) if labels is None else labels
    gt = InstanceData(bboxes=boxes(*valid), labels=torch.tensor(labels, dtype=torch.long))
    ignore = None if ignored is None else InstanceData(bboxes=boxes(*ignored))
    return assigner.assign(InstanceData(priors=boxes(*priors)), gt, ignore)


def test_positive_on_a_large_ignored_object_stays_positive():
    # The large object is ignored; the small valid one lies on it. 79 is the last class of COCO.
    priors = [(10, 10, 20, 20), (0, 0, 100, 90), (60, 60, 70, 70), (200, 200, 210, 210)]
    valid, ignored = [(10, 10, 20, 20)], [(0, 0, 100, 100)]
    iof = assign(build(ignore_overlap='iof'), priors, valid, ignored, labels=[79])
    assert iof.gt_inds.tolist() == [1, -1, -1, 0]
    assert iof.labels.tolist() == [79, -1, -1, -1]
    iou = assign(build(ignore_overlap='iou'), priors, valid, ignored, labels=[79])
    assert iou.gt_inds.tolist() == [1, -1, 0, 0]
    # The parent's own way loses the valid object: why this class exists.
    parent = assign(MaxIoUAssigner(0.7, 0.3, min_pos_iou=0.3, ignore_iof_thr=0.3), priors, valid, ignored)
    assert 1 not in parent.gt_inds.tolist()


def test_max_overlaps_stay_those_with_valid_objects():
    priors = [(0, 0, 10, 10), (0, 0, 10, 40), (50, 50, 60, 60)]
    result = assign(build(), priors, [(0, 0, 10, 10)], [(0, 0, 10, 40), (50, 50, 60, 60)])
    assert result.gt_inds.tolist() == [1, -1, -1]
    torch.testing.assert_close(result.max_overlaps, torch.tensor([1.0, 0.25, 0.0]))
    assert result.num_gts == 1


@pytest.mark.parametrize('overlap, expected', [('iou', [-1, 0, 0]), ('iof', [-1, -1, 0])])
def test_without_valid_objects_ignored_ones_still_count(overlap, expected):
    priors = [(0, 0, 40, 40), (0, 0, 10, 10), (80, 80, 90, 90)]
    result = assign(build(ignore_overlap=overlap), priors, [], [(0, 0, 40, 50)])
    assert result.gt_inds.tolist() == expected
    assert result.labels.tolist() == [-1, -1, -1]
    assert result.max_overlaps.tolist() == [0, 0, 0]


@pytest.mark.parametrize('thr, expected', [(0.5, 0), (0.4999, -1), (0.0, -1)])
def test_threshold_is_strict(thr, expected):
    # IoU and IoF of the prior are exactly 0.5.
    for overlap in ('iou', 'iof'):
        prior, ignored = [(0, 0, 8, 8)], [(0, 0, 8, 4)]
        assert assign(build(ignore_thr=thr, ignore_overlap=overlap), prior, [], ignored).gt_inds.tolist() == [expected]


def test_prior_without_overlap_is_background_at_threshold_zero():
    assert assign(build(ignore_thr=0), [(0, 0, 8, 8)], [], [(8, 0, 16, 8)]).gt_inds.tolist() == [0]


@pytest.mark.parametrize('ignored', [None, ()])
@pytest.mark.parametrize('valid, expected', [([], [0, 0]), ([(0, 0, 10, 9)], [1, 0])])
def test_without_ignored_objects_it_is_the_parent(valid, expected, ignored):
    assert assign(build(), [(0, 0, 10, 10), (50, 50, 60, 60)], valid, ignored).gt_inds.tolist() == expected


def test_without_priors():
    result = assign(build(), [], [(0, 0, 10, 10)], [(0, 0, 10, 10)])
    assert (result.num_gts, result.gt_inds.tolist(), result.labels.tolist()) == (1, [], [])


def test_low_quality_match_is_a_positive_too():
    # The best prior of the valid object has IoU 0.5 only, and lies on an ignored object.
    priors, valid, ignored = [(0, 0, 8, 8)], [(0, 0, 8, 4)], [(0, 0, 8, 8)]
    assert assign(build(), priors, valid, ignored).gt_inds.tolist() == [1]
    assert assign(build(match_low_quality=False), priors, valid, ignored).gt_inds.tolist() == [-1]


def test_assigning_on_the_cpu_gives_the_same():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (30, 2))
    priors = np.concatenate([corners, corners + rng.uniform(5, 40, (30, 2))], axis=1).tolist()
    results = [assign(build(gpu_assign_thr=thr), priors, priors[:3], priors[3:9]) for thr in (-1, 2)]
    assert results[0].gt_inds.tolist() == results[1].gt_inds.tolist()
    assert -1 in results[0].gt_inds.tolist()


def box_strategy():
    return st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(1, 12)] * 2).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    )


@settings(deadline=None, max_examples=60)
@given(
    priors=st.lists(box_strategy(), min_size=1, max_size=8),
    valid=st.lists(box_strategy(), max_size=3),
    ignored=st.lists(box_strategy(), max_size=3),
    overlap=st.sampled_from(['iou', 'iof']),
)
def test_equals_the_rule_written_out(priors, valid, ignored, overlap):
    plain = assign(MaxIoUAssigner(0.7, 0.3, min_pos_iou=0.3), priors, valid, None)
    result = assign(build(ignore_overlap=overlap, ignore_thr=0.31), priors, valid, ignored)
    for i, p in enumerate(priors):
        touched = False
        for g in ignored:
            inter = max(0, min(p[2], g[2]) - max(p[0], g[0])) * max(0, min(p[3], g[3]) - max(p[1], g[1]))
            area_p, area_g = ((b[2] - b[0]) * (b[3] - b[1]) for b in (p, g))
            touched |= inter / (area_p if overlap == 'iof' else area_p + area_g - inter) > 0.31
        expected = plain.gt_inds[i].item()
        assert result.gt_inds[i].item() == (-1 if expected <= 0 and touched else expected)
    assert result.labels.tolist() == plain.labels.tolist()
    assert result.max_overlaps.tolist() == plain.max_overlaps.tolist()


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(ignore_overlap='giou'), 'giou'),
        (dict(ignore_thr=1), 'ignore_thr'),
        (dict(ignore_thr=-0.1), '-0.1'),
        (dict(ignore_thr=float('nan')), 'nan'),
        (dict(ignore_iof_thr=0.5), 'ignore_iof_thr'),
        (dict(ignore_wrt_candidates=False), 'ignore_wrt_candidates'),
    ],
)
def test_wrong_options_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


def test_switched_off_parent_option_of_base_configs_is_taken():
    assert build(ignore_iof_thr=-1).ignore_iof_thr == -1
