"""The two keypoint heads alone: size, cost, losses written out, decoding."""

import math

import pytest
import torch
import torch.nn.functional as F
from mmdet.registry import MODELS
from mmengine.analysis import FlopAnalyzer

import mmisn  # noqa: F401
from mmisn.models.roi_heads.keypoint_heads.offset_codec import encode_offsets

KINDS = ('OffsetKeypointHead', 'KeypointRCNNHead')
SIZES = {'OffsetKeypointHead': (22, 16), 'KeypointRCNNHead': (14, 14)}


def build(kind, **changes):
    torch.manual_seed(0)
    return MODELS.build(
        dict(dict(type=kind, num_keypoints=2, num_convs=1, in_channels=4, conv_out_channels=8), **changes)
    )


def flops(kind):
    head = MODELS.build(dict(type=kind)).eval()
    analyzer = FlopAnalyzer(head, torch.zeros(1, 256, *SIZES[kind]))
    return analyzer.unsupported_ops_warnings(False).uncalled_modules_warnings(False).total()


def test_offset_head_needs_half_of_the_multiply_adds():
    """Of the paper's sizes, per RoI; counted by mmengine and, independently, from the sizes of the layers."""
    light, heavy = (flops(kind) for kind in KINDS)
    assert light == 22 * 16 * (8 * 9 * 256 * 256 + 256 * 3 * 17) == 1_665_540_096
    towers = 14 * 14 * (9 * 256 * 512 + 7 * 9 * 512 * 512)
    # A deconvolution applies its 4x4 kernel at each of its inputs; bilinear interpolation adds up four values.
    assert heavy == towers + 14 * 14 * 16 * 512 * 17 + 56 * 56 * 17 * 4 == 3_495_674_112
    assert light / heavy == pytest.approx(0.4765, abs=1e-3)


def test_layers_of_the_papers():
    light, heavy = (MODELS.build(dict(type=kind)) for kind in KINDS)
    assert [c.conv.weight.shape for c in light.convs] == [(256, 256, 3, 3)] * 8
    assert not any(isinstance(m, torch.nn.ConvTranspose2d) for m in light.modules())
    assert [c.conv.weight.shape for c in heavy.convs] == [(512, 256, 3, 3)] + [(512, 512, 3, 3)] * 7


def test_shapes_of_the_maps():
    vicinity, offsets = build('OffsetKeypointHead')(torch.zeros(3, 4, 22, 16))
    assert vicinity.shape == (3, 2, 22, 16) and offsets.shape == (3, 2, 2, 22, 16)
    assert build('KeypointRCNNHead')(torch.zeros(3, 4, 14, 14)).shape == (3, 2, 56, 56)
    assert build('KeypointRCNNHead', upsample=1)(torch.zeros(3, 4, 14, 14)).shape == (3, 2, 28, 28)


def test_initial_weights():
    """He initialization (fan out) of the tower; predictions close to 0."""
    for kind in KINDS:
        head = build(kind, in_channels=64, conv_out_channels=64)
        head.init_weights()
        assert head.convs[0].conv.weight.std().item() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.05)
        if kind == 'OffsetKeypointHead':
            assert head.conv_vicinity.weight.std().item() == pytest.approx(0.01, rel=0.3)
            assert head.conv_offset.weight.std().item() == pytest.approx(0.01, rel=0.3)


def test_one_hot_loss_written_out():
    head = build('KeypointRCNNHead')
    preds = torch.randn(2, 2, 56, 56)
    rois = torch.tensor([[0.0, 0.0, 56.0, 112.0], [10.0, 10.0, 66.0, 66.0]])
    keypoints = torch.tensor([[[3.5, 7.0], [0.0, 0.0]], [[66.0, 66.0], [5.0, 20.0]]])
    # Of four keypoints the second is not labelled, the fourth is outside its RoI.
    visible = torch.tensor([[2, 0], [1, 2]])
    losses = head.loss(preds, rois, keypoints, visible)
    # (3.5, 7) is in column 3 and row 3, as rows are 2 px high; the lower right corner is the last cell.
    expected = F.cross_entropy(preds[0, 0].flatten()[None], torch.tensor([3 * 56 + 3]))
    expected = (expected + F.cross_entropy(preds[1, 0].flatten()[None], torch.tensor([56 * 56 - 1]))) / 2
    assert set(losses) == {'loss_keypoint'}
    torch.testing.assert_close(losses['loss_keypoint'], expected)


def test_offset_losses_written_out():
    head = build(
        'OffsetKeypointHead',
        offset_unit=0.5,
        loss_vicinity=dict(type='SmoothL1Loss', beta=1.0, loss_weight=3.0),
        loss_offset=dict(type='SmoothL1Loss', beta=0.25, loss_weight=2.0),
    )
    vicinity, offsets = torch.randn(1, 2, 6, 4), torch.randn(1, 2, 2, 6, 4)
    rois = torch.tensor([[10.0, 20.0, 18.0, 32.0]])
    # In bins, which are 2 px wide and high, at (1.6, 3.0).
    keypoints = torch.tensor([[[13.2, 26.0], [11.0, 11.0]]])
    losses = head.loss((vicinity, offsets), rois, keypoints, torch.tensor([[1, 2]]))

    loss_vicinity, loss_offset, cells = 0.0, 0.0, 0
    for row in range(6):
        for column in range(4):
            vector = torch.tensor([1.6 - column - 0.5, 3.0 - row - 0.5])
            near = vector.norm() <= 2.0
            loss_vicinity += F.smooth_l1_loss(vicinity[0, 0, row, column], near.float())
            if near:
                cells += 1
                predicted = offsets[0, 0, :, row, column]
                loss_offset += F.smooth_l1_loss(predicted, vector / 0.5, beta=0.25, reduction='sum')
    assert cells > 8
    assert set(losses) == {'loss_keypoint_vicinity', 'loss_keypoint_offset'}
    torch.testing.assert_close(losses['loss_keypoint_vicinity'], 3 * loss_vicinity / cells)
    torch.testing.assert_close(losses['loss_keypoint_offset'], 2 * loss_offset / cells)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('num_rois', [0, 2])
def test_without_keypoints_the_loss_is_a_zero_of_the_graph(kind, num_rois):
    """No RoI, or RoIs whose keypoints do not count: all weights get a gradient, and it is 0."""
    head = build(kind)
    preds = head(torch.randn(num_rois, 4, *SIZES[kind]))
    rois = torch.tensor([[0.0, 0.0, 30.0, 30.0]]).repeat(num_rois, 1)
    losses = head.loss(preds, rois, torch.full((num_rois, 2, 2), math.nan), torch.zeros(num_rois, 2))
    sum(losses.values()).backward()
    assert all(value.item() == 0 for value in losses.values())
    for name, weight in head.named_parameters():
        assert weight.grad is not None and not weight.grad.any(), name


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_losses_of_half_precision_maps(kind, dtype):
    """Computed in single precision; what overflowed in maps that do not count is not seen."""
    head = build(kind)
    preds = head(torch.randn(2, 4, *SIZES[kind]))
    preds = preds if isinstance(preds, tuple) else (preds,)
    half = [p.detach().to(dtype) for p in preds]
    rois = torch.tensor([[0.0, 0.0, 30.0, 40.0]]).repeat(2, 1)
    keypoints, visible = torch.full((2, 2, 2), 11.0), torch.tensor([[2, 0], [0, 2]])
    unpack = (lambda p: p) if len(half) > 1 else (lambda p: p[0])
    expected = head.loss(unpack([p.float() for p in half]), rois, keypoints, visible)
    for p in half:
        p[0, 1] = math.inf
    losses = head.loss(unpack(half), rois, keypoints, visible)
    for name, value in losses.items():
        assert value.dtype == torch.float32
        torch.testing.assert_close(value, expected[name])


@pytest.mark.parametrize('decode', ['peak', 'hough'])
@pytest.mark.parametrize('offset_unit', [None, 1.0, 4.0])
def test_decode_undoes_the_unit_of_the_offsets(decode, offset_unit):
    """Maps for which the loss is 0 give the keypoints back."""
    head = build('OffsetKeypointHead', decode=decode, offset_unit=offset_unit, radius=1.5)
    rois = torch.tensor([[5.0, 6.0, 69.0, 149.0]])
    keypoints = torch.tensor([[[20.3, 77.7], [68.9, 6.1]]])
    vicinity, offsets, _ = encode_offsets(keypoints, torch.ones(1, 2), rois, (22, 16), 1.5)
    preds = vicinity, offsets / (offset_unit or 1.5)
    assert sum(head.loss(preds, rois, keypoints, torch.ones(1, 2)).values()).item() < 1e-10
    found, scores = head.decode(preds, rois)
    # A hundredth of a bin, which is 4 px wide and 6.5 px high.
    torch.testing.assert_close(found, keypoints, atol=0.04, rtol=0)
    assert (scores > 0.99).all()


@pytest.mark.parametrize(
    'changes, match',
    [
        (dict(num_keypoints=0), 'num_keypoints must be a positive integer, got 0'),
        (dict(num_convs=-1), 'num_convs must be an integer of at least 0, got -1'),
        (dict(radius=0.5), 'radius must be at least 0.7071 bins, got 0.5'),
        (dict(radius=math.nan), 'radius must be at least'),
        (dict(offset_unit=0), 'offset_unit must be positive'),
        (dict(decode='votes'), "decode must be one of .*'votes'"),
        (dict(hough_cells_per_bin=0.5), 'hough_cells_per_bin must be a positive integer, got 0.5'),
        (dict(type='KeypointRCNNHead', refine='cubic'), 'refine must be one of'),
        (dict(type='KeypointRCNNHead', upsample=0), 'upsample must be a positive integer'),
    ],
)
def test_wrong_options_are_refused(changes, match):
    with pytest.raises(ValueError, match=match):
        build(**{'kind': changes.pop('type', 'OffsetKeypointHead'), **changes})
