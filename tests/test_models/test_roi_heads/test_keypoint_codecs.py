"""Keypoints -> targets -> keypoints, and what the maps mean."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmisn.models.roi_heads.keypoint_heads.keypoint_bins import bins_to_keypoints, keypoints_to_bins, visible_inside
from mmisn.models.roi_heads.keypoint_heads.offset_codec import decode_hough, decode_peak, encode_offsets
from mmisn.models.roi_heads.keypoint_heads.one_hot_codec import MAX_VALUES, decode_one_hot, encode_one_hot

SIZE = (22, 16)


def random_people(num=40, seed=0):
    """RoIs of all shapes and three keypoints in each: inside, on the lower right corner, on the left border."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.rand(num, 2, generator=generator) * 500
    sides = 10 + torch.rand(num, 2, generator=generator) * 290
    rois = torch.cat([corners, corners + sides], dim=1)
    shares = torch.rand(num, 3, 2, generator=generator)
    keypoints = corners[:, None] + shares * sides[:, None]
    keypoints[:, 1] = rois[:, 2:]
    keypoints[:, 2, 0] = rois[:, 0]
    return rois, keypoints, torch.full((num, 3), 2, dtype=torch.uint8)


def error_in_bins(found, keypoints, rois, size=SIZE):
    """Largest error per axis."""
    return (keypoints_to_bins(found, rois, size) - keypoints_to_bins(keypoints, rois, size)).abs().max().item()


def test_bins_by_hand():
    rois = torch.tensor([[10.0, 20.0, 42.0, 64.0]])
    keypoints = torch.tensor([[[10.0, 20.0], [42.0, 64.0], [27.0, 43.0]]])
    bins = keypoints_to_bins(keypoints, rois, SIZE)
    assert bins.tolist() == [[[0.0, 0.0], [16.0, 22.0], [8.5, 11.5]]]
    assert torch.equal(bins_to_keypoints(bins, rois, SIZE), keypoints)


def test_bins_are_where_roi_align_samples():
    """A feature map that holds its own coordinates, pooled, gives the centres of the cells."""
    from mmcv.ops import RoIAlign

    stride = 4
    y, x = torch.meshgrid(torch.arange(40) * stride + 2.0, torch.arange(40) * stride + 2.0, indexing='ij')
    rois = torch.tensor([[0, 21.0, 30.0, 85.0, 118.0]])
    pooled = RoIAlign(SIZE, 1 / stride, sampling_ratio=0)(torch.stack([x, y])[None], rois)
    assert pooled.shape == (1, 2, *SIZE)
    for row, column in ((0, 0), (21, 15), (7, 9)):
        point = bins_to_keypoints(torch.tensor([[[column + 0.5, row + 0.5]]]), rois[:, 1:], SIZE)
        torch.testing.assert_close(pooled[0, :, row, column], point[0, 0])


def test_which_keypoints_count():
    rois = torch.tensor([[0.0, 0.0, 10.0, 20.0]]).repeat(9, 1)
    rois[8] = torch.tensor([5.0, 0.0, 5.0, 20.0])
    points = [[5, 5], [0, 0], [10, 20], [10.1, 5], [5, -0.1], [5, 5], [5, 5], [math.nan, 5], [5, 5]]
    visible = torch.tensor([2, 1, 2, 2, 2, 0, 1, 2, 2], dtype=torch.uint8)
    found = visible_inside(torch.tensor(points)[:, None], visible[:, None], rois)[:, 0]
    assert found.tolist() == [True, True, True, False, False, False, True, False, False]


@pytest.mark.parametrize('radius', [math.sqrt(0.5), 1.0, 2.0, 3.5])
def test_offsets_round_trip(radius):
    rois, keypoints, visible = random_people()
    vicinity, offsets, valid = encode_offsets(keypoints, visible, rois, SIZE, radius)
    assert valid.all() and vicinity.flatten(2).any(dim=-1).all()
    for found, scores in (
        decode_peak(vicinity, offsets, rois),
        decode_hough(vicinity, offsets, rois, radius),
        decode_hough(vicinity, offsets, rois, radius, cells_per_bin=4),
    ):
        assert error_in_bins(found, keypoints, rois) < 1e-3
        assert (scores > 0.99).all()


def test_vicinity_by_hand():
    rois = torch.tensor([[0.0, 0.0, 4.0, 3.0]])
    vicinity, offsets, _ = encode_offsets(torch.tensor([[[1.5, 1.0]]]), torch.ones(1, 1), rois, (3, 4), radius=1.2)
    # Distances of the centres: (1.5, 0.5) and (1.5, 1.5) 0.5; (0.5, .5), (0.5, 1.5), (2.5, .5), (2.5, 1.5) 1.118.
    assert vicinity[0, 0].tolist() == [[1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]
    assert offsets[0, 0, :, 0, 0].tolist() == [1.0, 0.5]
    assert offsets[0, 0, :, 1, 2].tolist() == [-1.0, -0.5]
    assert not offsets[0, 0, :, 2].any() and not offsets[0, 0, :, :, 3].any()


def test_keypoints_that_do_not_count_leave_empty_maps():
    rois = torch.tensor([[0.0, 0.0, 16.0, 22.0]])
    points = torch.tensor([[[5.0, 5.0], [16.5, 5.0], [math.nan, math.inf], [5.0, 5.0]]])
    visible = torch.tensor([[2, 2, 2, 0]])
    vicinity, offsets, valid = encode_offsets(points, visible, rois, SIZE, 2.0)
    assert valid.tolist() == [[True, False, False, False]]
    assert vicinity[0, 0].sum() > 0
    assert not vicinity[0, 1:].any() and not offsets[0, 1:].any()
    cells, valid = encode_one_hot(points, visible, rois, SIZE)
    assert valid.tolist() == [[True, False, False, False]]
    assert cells.tolist() == [[5 * 16 + 5, 0, 0, 0]]


def test_one_hot_round_trip_is_within_half_a_cell():
    """Half a cell of the 56x56 map, 1/8 of a bin of the 14x14 features: the quantization of Mask R-CNN."""
    size = (56, 56)
    rois, keypoints, visible = random_people()
    cells, valid = encode_one_hot(keypoints, visible, rois, size)
    assert valid.all()
    logits = 20.0 * F.one_hot(cells, 56 * 56).view(*cells.shape, *size)
    for refine in ('none', 'quadratic'):
        found, scores = decode_one_hot(logits, rois, refine)
        assert error_in_bins(found, keypoints, rois, size) <= 0.5 + 1e-3
        assert (scores > 0.99).all()
    # Resized to pixels, the centre of the cell may fall between two of them.
    found, _ = decode_one_hot(logits, rois, 'bicubic')
    assert error_in_bins(found, keypoints, rois, size) <= 1.0 + 1e-3
    assert error_in_bins(found, keypoints, rois, (14, 14)) <= 0.25


@pytest.mark.parametrize('refine, bound', [('quadratic', 1e-2), ('bicubic', 0.2)])
def test_refinement_finds_a_peak_between_cells(refine, bound):
    """A trained head predicts a peak, found to a twentieth of a bin of the 14x14 features, which is four cells."""
    size = (56, 56)
    rois = torch.tensor([[3.0, 5.0, 703.0, 605.0]]).repeat(30, 1)
    truth = 2 + 52 * torch.rand(30, 1, 2, generator=torch.Generator().manual_seed(0))
    y, x = torch.meshgrid(torch.arange(56) + 0.5, torch.arange(56) + 0.5, indexing='ij')
    logits = -((x - truth[..., :1, None]) ** 2 + (y - truth[..., 1:, None]) ** 2) / (2 * 1.5**2)
    found, _ = decode_one_hot(logits, rois, refine)
    assert (keypoints_to_bins(found, rois, size) - truth).abs().max() < bound
    coarse, _ = decode_one_hot(logits, rois, 'none')
    assert 0.4 < (keypoints_to_bins(coarse, rois, size) - truth).abs().max() <= 0.5 + 1e-3


@pytest.fixture
def resized_sizes(monkeypatch):
    """Sizes of the maps that decoding resizes, as they come."""
    sizes, original = [], F.interpolate

    def interpolate(*args, **kwargs):
        resized = original(*args, **kwargs)
        sizes.append(tuple(resized.shape))
        return resized

    monkeypatch.setattr(F, 'interpolate', interpolate)
    return sizes


def whole_at_once(logits, rois):
    """Mask R-CNN's decoding: all maps of a RoI resized to its pixels."""
    found = []
    for maps, (width, height) in zip(logits, (rois[:, 2:] - rois[:, :2]).tolist()):
        size = max(math.ceil(height), maps.shape[1]), max(math.ceil(width), maps.shape[2])
        best = F.interpolate(maps[None], size=size, mode='bicubic', align_corners=False)[0].flatten(1).argmax(dim=1)
        cells = torch.stack([best % size[1], best // size[1]], dim=1) + 0.5
        found.append(cells * cells.new_tensor([maps.shape[2] / size[1], maps.shape[1] / size[0]]))
    return bins_to_keypoints(torch.stack(found), rois, logits.shape[-2:])


def test_bicubic_decoding_in_parts_changes_nothing(resized_sizes):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(5, 17, 56, 56, generator=generator)
    sides = torch.tensor([[40.0, 30], [300, 200.5], [1280, 960], [2048, 2047.5], [2048, 20]])
    rois = torch.cat([torch.full((5, 2), 3.0), 3.0 + sides], dim=1)
    expected = whole_at_once(logits, rois)
    before = len(resized_sizes)
    found, _ = decode_one_hot(logits, rois, 'bicubic')
    assert torch.equal(found, expected)
    sizes = resized_sizes[before:]
    assert max(math.prod(s) for s in sizes) <= MAX_VALUES
    assert [s[1] for s in sizes] == [17, 17, 3, 3, 3, 3, 3, 2, *[1] * 17, 17]


def test_memory_of_bicubic_decoding_does_not_grow_with_the_roi(resized_sizes):
    truth = torch.tensor([[[20.3, 40.9], [1.2, 3.4]]])
    y, x = torch.meshgrid(torch.arange(56) + 0.5, torch.arange(56) + 0.5, indexing='ij')
    logits = -((x - truth[..., :1, None]) ** 2 + (y - truth[..., 1:, None]) ** 2) / (2 * 1.5**2)
    for sides in ([2560.0, 1920.0], [20000.0, 15000.0], [9000.0, 500.0]):
        rois = torch.tensor([[0.0, 0, *sides]])
        found, _ = decode_one_hot(logits, rois, 'bicubic')
        # The bicubic kernel's own error on a Gaussian is larger than that of 2048 pixels, 1/73 of a bin.
        assert (keypoints_to_bins(found, rois, (56, 56)) - truth).abs().max() < 0.2
    assert max(math.prod(s) for s in resized_sizes) <= MAX_VALUES
    assert [s[2:] for s in resized_sizes] == [(1920, 2048)] * 2 + [(2048, 2048)] * 2 + [(500, 2048)]


def test_one_hot_by_hand():
    logits = torch.zeros(1, 1, 3, 4)
    logits[0, 0, 1, 2] = math.log(9)
    found, scores = decode_one_hot(logits, torch.tensor([[0.0, 0.0, 8.0, 3.0]]), 'none')
    assert found.tolist() == [[[5.0, 1.5]]]
    # 9 / (9 + 11)
    assert scores.item() == pytest.approx(0.45)


def test_hough_votes_outweigh_a_wrong_offset():
    """The best cell points astray; its neighbours agree."""
    rois = torch.tensor([[0.0, 0.0, 16.0, 22.0]])
    keypoint = torch.tensor([[[7.3, 9.8]]])
    vicinity, offsets, _ = encode_offsets(keypoint, torch.ones(1, 1), rois, SIZE, 2.0)
    vicinity[0, 0, 9, 7], offsets[0, 0, :, 9, 7] = 1.5, torch.tensor([5.0, -6.0])
    torch.testing.assert_close(decode_peak(vicinity, offsets, rois)[0], torch.tensor([[[12.5, 3.5]]]))
    torch.testing.assert_close(decode_hough(vicinity, offsets, rois, 2.0)[0], keypoint)


def test_negative_scores_do_not_vote():
    """Smooth L1 lets the vicinity map fall below 0; that takes nothing away from the votes of others."""
    rois = torch.tensor([[0.0, 0.0, 16.0, 22.0]])
    keypoint = torch.tensor([[[7.3, 9.8]]])
    vicinity, offsets, _ = encode_offsets(keypoint, torch.ones(1, 1), rois, SIZE, 2.0)
    vicinity[0, 0, 20, 2], offsets[0, 0, :, 20, 2] = -9.0, torch.tensor([5.5, -11.0])
    found, scores = decode_hough(vicinity, offsets, rois, 2.0)
    torch.testing.assert_close(found, keypoint)
    assert scores.item() == pytest.approx(1.0)


def test_hough_is_better_under_noise():
    rois, keypoints, visible = random_people(num=100)
    vicinity, offsets, _ = encode_offsets(keypoints[:, :1], visible[:, :1], rois, SIZE, 2.0)
    generator = torch.Generator().manual_seed(0)
    vicinity = vicinity + 0.05 * torch.randn(vicinity.shape, generator=generator)
    offsets = offsets + 0.3 * torch.randn(offsets.shape, generator=generator)

    def error(found):
        bins = keypoints_to_bins(found, rois, SIZE) - keypoints_to_bins(keypoints[:, :1], rois, SIZE)
        return bins.norm(dim=-1).mean().item()

    assert error(decode_hough(vicinity, offsets, rois, 2.0)[0]) < 0.5 * error(decode_peak(vicinity, offsets, rois)[0])


def test_bilinear_votes_by_hand():
    """One vote, a quarter of a bin right of a cell's centre: 3/4 here and 1/4 there; found again at its place."""
    from mmisn.models.roi_heads.keypoint_heads.offset_codec import _accumulate

    votes = _accumulate(torch.tensor([[[[1.25, 1.0], [-1.5, 0.0]]]]), torch.tensor([[[2.0, 7.0]]]), (3, 4))
    assert votes[0, 0].tolist() == [[0, 0, 0, 0], [0, 1.5, 0.5, 0], [0, 0, 0, 0]]


def test_without_votes_the_score_is_zero():
    rois = torch.tensor([[10.0, 20.0, 30.0, 60.0]])
    found, scores = decode_hough(torch.full((1, 2, *SIZE), -1.0), torch.zeros(1, 2, 2, *SIZE), rois, 2.0)
    assert found.tolist() == [[[20.0, 40.0]] * 2] and not scores.any()
    assert not decode_peak(torch.full((1, 2, *SIZE), -1.0), torch.zeros(1, 2, 2, *SIZE), rois)[1].any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_maps_are_decoded_in_single_precision(dtype):
    rois, keypoints, visible = random_people()
    vicinity, offsets, _ = encode_offsets(keypoints, visible, rois, SIZE, 2.0)
    for decode in (decode_peak, lambda *maps: decode_hough(*maps, 2.0)):
        found, scores = decode(vicinity.to(dtype), offsets.to(dtype), rois)
        assert found.dtype == scores.dtype == torch.float32
        # Offsets of at most 2 bins, 8 bits: 2^-8 each.
        assert error_in_bins(found, keypoints, rois) < 0.02


def test_empty_and_degenerate_rois():
    none = torch.zeros(0, 4)
    vicinity, offsets, valid = encode_offsets(torch.zeros(0, 5, 2), torch.zeros(0, 5), none, SIZE, 2.0)
    assert vicinity.shape == (0, 5, *SIZE) and offsets.shape == (0, 5, 2, *SIZE) and valid.shape == (0, 5)
    for found, scores in (
        decode_peak(vicinity, offsets, none),
        decode_hough(vicinity, offsets, none, 2.0),
        *(decode_one_hot(vicinity, none, refine) for refine in ('none', 'quadratic', 'bicubic')),
    ):
        assert found.shape == (0, 5, 2) and scores.shape == (0, 5)
    point = torch.tensor([[7.0, 9.0, 7.0, 9.0]])
    for found, _ in (
        decode_peak(torch.zeros(1, 5, *SIZE), torch.zeros(1, 5, 2, *SIZE), point),
        decode_one_hot(torch.zeros(1, 5, *SIZE), point),
    ):
        assert torch.equal(found, torch.tensor([7.0, 9.0]).expand(1, 5, 2))


def test_unknown_refinement():
    with pytest.raises(ValueError, match="refine must be one of .*'cubic'"):
        decode_one_hot(torch.zeros(1, 1, 3, 3), torch.tensor([[0.0, 0.0, 1.0, 1.0]]), 'cubic')
