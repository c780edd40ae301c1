"""Deformable ResNets on the small views of a pyramid."""

import mmcv.ops
import pytest
import torch
from mmdet.registry import MODELS

from mmisn.models.backbones import SmallInputDeformConv

DCN = dict(dcn=dict(type='DCN', deform_groups=1, fallback_on_stride=False), stage_with_dcn=(False, True, True, True))


def resnet(**kwargs):
    torch.manual_seed(0)
    net = MODELS.build(dict(type='ResNet', depth=50, base_channels=4, stem_channels=4, **kwargs))
    net.init_weights()
    net.eval()
    return net


@pytest.mark.parametrize('size', [(64, 64), (48, 64), (16, 24), (1, 1), (96, 128)])
def test_resnet_takes_maps_of_any_size(size):
    """mmcv's refuses 64 px: 2 px at stride 32 are less than its kernel. Offsets are zero: a plain network."""
    plain, net = resnet(), resnet(**DCN)
    missing, unexpected = net.load_state_dict(plain.state_dict(), strict=False)
    assert unexpected == [] and all('conv_offset' in name for name in missing)
    x = torch.randn(2, 3, *size)
    for got, expected in zip(net(x), plain(x)):
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


def test_dilated_resnet_takes_maps_of_any_size():
    dilated = dict(strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), out_indices=(3,))
    plain, net = resnet(**dilated), resnet(**dilated, **DCN)
    net.load_state_dict(plain.state_dict(), strict=False)
    for size in ((40, 24), (16, 16), (33, 90)):
        x = torch.randn(1, 3, *size)
        torch.testing.assert_close(net(x)[0], plain(x)[0], rtol=1e-4, atol=1e-5)


def test_offsets_start_at_zero_and_keep_what_was_loaded(tmp_path):
    """MMEngine draws all convolutions of a ResNet, those of the offsets included."""
    net = resnet(**DCN)
    convs = [m for m in net.modules() if isinstance(m, mmcv.ops.DeformConv2dPack)]
    assert len(convs) == 4 + 6 + 3 and all(type(m) is SmallInputDeformConv for m in convs)
    assert not any(m.conv_offset.weight.any() or m.conv_offset.bias.any() for m in convs)
    assert all(m.weight.any() for m in convs)
    for m in convs:
        torch.nn.init.constant_(m.conv_offset.weight, 0.5)
    torch.save(net.state_dict(), tmp_path / 'weights.pth')
    loaded = resnet(**DCN, init_cfg=dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.pth')))
    offsets = [m.conv_offset.weight for m in loaded.modules() if isinstance(m, SmallInputDeformConv)]
    assert offsets and all((w == 0.5).all() for w in offsets)


def test_larger_maps_are_convolved_as_mmcv_does():
    torch.manual_seed(0)
    ours, theirs = SmallInputDeformConv(4, 6, 3, padding=1), mmcv.ops.DeformConv2dPack(4, 6, 3, padding=1)
    torch.nn.init.normal_(ours.conv_offset.weight, std=0.3)
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(2, 4, 5, 3)
    assert torch.equal(ours(x), theirs(x))
    narrow = x[..., :2].contiguous()
    with pytest.raises(RuntimeError, match='smaller than kernel'):
        theirs(narrow)
    assert ours(narrow).shape == (2, 6, 5, 2)


@pytest.mark.parametrize('number', [1, 31, 33, 37, 40, 64])
@pytest.mark.parametrize('channels', [1, 3])
def test_batches_of_any_length_and_memory_format(number, channels):
    """Each image as if alone; 37 is no multiple of anything, and (N, H, W, 1) seen as (N, 1, H, W) is contiguous."""
    torch.manual_seed(0)
    conv = SmallInputDeformConv(channels, 4, kernel_size=5, padding=2)
    torch.nn.init.normal_(conv.conv_offset.weight, std=0.1)
    images = torch.rand(number, 12, 9, channels).permute(0, 3, 1, 2)
    alone = torch.cat([conv(image[None].clone(memory_format=torch.contiguous_format)) for image in images])
    torch.testing.assert_close(conv(images), alone, rtol=1e-4, atol=1e-6)
    conv(images).sum().backward()
    assert conv.weight.grad.isfinite().all() and conv.conv_offset.weight.grad.any()
