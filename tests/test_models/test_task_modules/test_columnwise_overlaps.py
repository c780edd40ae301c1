import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmdet.models.task_modules.assigners import BboxOverlaps2D
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import HorizontalBoxes

from mmisn.models.task_modules import ColumnwiseBboxOverlaps2D, ScaleRangeAssigner, box_overlaps

MMDET, OURS = BboxOverlaps2D(), TASK_UTILS.build(dict(type='ColumnwiseBboxOverlaps2D'))


def random_boxes(random, num, flat=0.1):
    """Boxes of all scales; some have no area, some no sense (right of their right side)."""
    corners = random.uniform(-20, 300, (num, 2))
    sides = np.exp(random.uniform(-2, 6, (num, 2))) * (random.random((num, 2)) >= flat)
    sides[: num // 10] *= -1
    return torch.from_numpy(np.hstack([corners, corners + sides]).astype(np.float32))


@pytest.mark.parametrize('mode', ['iou', 'iof'])
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num=st.tuples(st.integers(0, 9), st.integers(0, 300)), swap=st.booleans())
def test_same_bits_as_mmdet(mode, seed, num, swap):
    random = np.random.default_rng(seed)
    first, second = (random_boxes(random, n) for n in (num[::-1] if swap else num))
    second[: len(first) // 2] = first[: len(second)][: len(first) // 2]  # equal boxes, an overlap of 1
    expected, ours = MMDET(first, second, mode), OURS(first, second, mode)
    assert ours.shape == expected.shape == (len(first), len(second))
    assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    'mode, expected', [('iou', [[1, 0.25, 0, 0], [0.5, 0.5, 0, 0]]), ('iof', [[1, 1, 0, 0], [0.5, 1, 0, 0]])]
)
def test_known_overlaps(mode, expected):
    first = torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 10]])
    # The same, four times as large, only touching, and far away.
    second = torch.tensor([[0.0, 0, 10, 10], [0, 0, 20, 20], [20, 10, 30, 30], [90, 90, 99, 99]])
    torch.testing.assert_close(box_overlaps(first, second, mode), torch.tensor(expected).float())


def test_non_contiguous_and_wrapped_boxes():
    rows = random_boxes(np.random.default_rng(0), 12)
    strided = torch.stack([rows, rows + 1], dim=1)[:, 0]
    assert not strided.is_contiguous()
    expected = MMDET(rows, rows[3:])
    assert torch.equal(OURS(strided, strided[3:]), expected)
    assert torch.equal(OURS(HorizontalBoxes(rows), HorizontalBoxes(rows[3:])), expected)
    assert torch.equal(rows, strided)  # in-place steps touch no argument


@pytest.mark.parametrize(
    'change',
    [
        dict(mode='giou'),
        dict(is_aligned=True),
        dict(dtype=torch.float64),
        dict(grad=True),
        dict(columns=5),
        dict(batch=True),
    ],
    ids=str,
)
def test_all_else_is_the_parent_s(change):
    random = np.random.default_rng(1)
    first, second = random_boxes(random, 8), random_boxes(random, 8)
    kwargs = {k: change[k] for k in ('mode', 'is_aligned') if k in change}
    first, second = first.to(change.get('dtype')), second.to(change.get('dtype'))
    if 'columns' in change:
        first = torch.cat([first, torch.rand(8, 1)], dim=1)
    if 'batch' in change:
        first, second = first[None], second[None]
    first.requires_grad_('grad' in change)
    expected, ours = MMDET(first, second, **kwargs), OURS(first, second, **kwargs)
    assert ours.requires_grad == expected.requires_grad == ('grad' in change)
    assert torch.equal(ours, expected)


def test_unknown_mode():
    with pytest.raises(ValueError, match="mode must be one of .*got 'iuo'"):
        box_overlaps(torch.zeros(1, 4), torch.zeros(1, 4), 'iuo')


def test_assigner_takes_it_unless_another_is_named():
    assert type(ScaleRangeAssigner(0.7, 0.3).iou_calculator) is ColumnwiseBboxOverlaps2D
    named = ScaleRangeAssigner(0.7, 0.3, iou_calculator=dict(type='BboxOverlaps2D'))
    assert type(named.iou_calculator) is BboxOverlaps2D
