"""MobileNetV2 whose last stage keeps stride 16."""

import pytest
import torch
from mmcv.ops import DeformConv2dPack
from mmdet.registry import MODELS
from torch import nn

import mmisn  # noqa: F401

ALL = dict(widen_factor=0.1, out_indices=tuple(range(8)))
DCN = dict(type='DCN', deform_groups=1, fallback_on_stride=True)


def pair_of_nets(**kwargs):
    """mmdet's net with statistics of its own, and the dilated one that has loaded its weights, every one of them."""
    torch.manual_seed(0)
    plain = MODELS.build(dict(type='MobileNetV2', **ALL))
    plain.init_weights()
    plain(torch.randn(4, 3, 64, 64))
    net = MODELS.build(dict(type='DeformMobileNetV2', output_stride=16, **ALL, **kwargs))
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == [] and all('conv_offset' in name for name in missing)
    assert missing == [] or kwargs
    plain.eval()
    net.eval()
    return plain, net


def test_strides_are_those_of_the_convolutions_until_c4_then_16():
    plain, net = pair_of_nets()
    strides, stride = [], 1
    for name in ('conv1', *(f'layer{i}' for i in range(1, 8)), 'conv2'):
        convs = [m for m in plain.get_submodule(name).modules() if isinstance(m, nn.Conv2d)]
        stride *= max(conv.stride[0] for conv in convs)
        strides.append(stride)
    assert strides == [2, 2, 4, 8, 16, 16, 32, 32, 32]
    maps = net(torch.randn(1, 3, 96, 160))
    assert [96 // m.shape[2] for m in maps] == [160 // m.shape[3] for m in maps] == [min(s, 16) for s in strides[1:]]


@pytest.mark.parametrize('size', [(96, 160), (70, 33), (17, 200)])
def test_every_second_pixel_is_the_plain_networks(size):
    plain, net = pair_of_nets()
    x = torch.randn(2, 3, *size)
    for i, (fine, coarse) in enumerate(zip(net(x), plain(x))):
        if i >= 5:
            assert fine.shape[2] in (2 * coarse.shape[2], 2 * coarse.shape[2] - 1)
            fine = fine[..., ::2, ::2]
        torch.testing.assert_close(fine, coarse, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('size', [(96, 160), (33, 17)])
def test_deformable_with_offsets_of_zero_is_the_same(size):
    _, dilated = pair_of_nets()
    _, both = pair_of_nets(dcn=DCN)
    # Only layers 3 and 4 are left that halve the map, so only their first convolution falls back.
    assert len([m for m in both.modules() if isinstance(m, DeformConv2dPack)]) == 3 + 4 + 3 + 3 + 1 - 2
    x = torch.randn(1, 3, *size)
    for got, expected in zip(both(x), dilated(x)):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_conv_modules_say_what_their_convolutions_do():
    _, net = pair_of_nets()
    blocks = [block.depthwise_conv for layer in (net.layer6, net.layer7) for block in layer]
    assert [(b.stride, b.dilation, b.padding) for b in blocks] == [
        ((1, 1), (1, 1), (1, 1)),
        *[((1, 1), (2, 2), (2, 2))] * 3,
    ]
    assert all(getattr(b, k) == getattr(b.conv, k) for b in blocks for k in ('stride', 'dilation', 'padding'))


def test_32_is_the_plain_network():
    net = MODELS.build(dict(type='DeformMobileNetV2', **ALL))
    assert [96 // m.shape[2] for m in net(torch.randn(1, 3, 96, 96))][-3:] == [32, 32, 32]


@pytest.mark.parametrize('output_stride', [8, 64, None])
def test_other_strides_are_refused(output_stride):
    with pytest.raises(ValueError, match=f'output_stride must be 16 or 32, got {output_stride}'):
        MODELS.build(dict(type='DeformMobileNetV2', output_stride=output_stride))
