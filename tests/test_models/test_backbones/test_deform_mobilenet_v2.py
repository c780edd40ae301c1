import pytest
import torch
import torch.nn.functional as F
from mmcv.ops import DeformConv2dPack
from mmdet.registry import MODELS

import mmisn  # noqa: F401
from mmisn.models.backbones import SmallInputDeformConv

SMALL = dict(widen_factor=0.1, out_indices=(1, 2, 4, 6))
DCN = dict(type='DCN', deform_groups=1, fallback_on_stride=False)


def build(kind='DeformMobileNetV2', **kwargs):
    return MODELS.build(dict(type=kind, **{**SMALL, **kwargs}))


def pair_of_nets():
    """A plain net with statistics of its own, and a deformable one that has loaded its weights."""
    torch.manual_seed(0)
    plain, net = build('MobileNetV2'), build(dcn=DCN)
    plain.init_weights()
    net.init_weights()
    plain(torch.randn(4, 3, 64, 64))
    missing = net.load_state_dict(plain.state_dict(), strict=False)
    # train() and eval() of mmdet's backbones return None.
    plain.eval()
    net.eval()
    return plain, net, missing


def deformed(net):
    return [name for name, m in net.named_modules() if isinstance(m, DeformConv2dPack)]


def test_weights_of_the_plain_net_load_and_give_the_same_output():
    plain, net, missing = pair_of_nets()
    assert missing.unexpected_keys == []
    names = deformed(net)
    assert sorted(missing.missing_keys) == sorted(f'{n}.conv_offset.{p}' for n in names for p in ('weight', 'bias'))
    assert len(names) == 3 + 4 + 3 + 3 + 1
    x = torch.randn(2, 3, 96, 128)
    for got, expected, stride in zip(net(x), plain(x), (4, 8, 16, 32)):
        assert got.shape[-2:] == (96 // stride, 128 // stride)
        torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    'stages, layers',
    [
        ((True, False, False, False), {2}),
        ((False, True, False, False), {3}),
        ((False, False, True, False), {4, 5}),
        ((False, False, False, True), {6, 7}),
        ((False, False, False, False), set()),
    ],
)
def test_layers_of_the_stages(stages, layers):
    assert {int(name[5]) for name in deformed(build(dcn=DCN, stage_with_dcn=stages))} == layers


def test_without_dcn_it_is_plain():
    assert deformed(build()) == []


def test_fallback_on_stride_keeps_the_convolutions_of_stride_2_plain():
    kept = set(deformed(build(dcn={**DCN, 'fallback_on_stride': True})))
    lost = set(deformed(build(dcn=DCN))) - kept
    assert lost == {f'layer{i}.0.depthwise_conv.conv' for i in (3, 4, 6)}


def test_config_is_not_changed():
    cfg = dict(DCN)
    build(dcn=cfg)
    assert cfg == DCN


def test_training_step_reaches_offsets_and_images_of_any_size():
    _, net, _ = pair_of_nets()
    # 64 px leave a 2x2 map at stride 32, which is smaller than the kernel.
    x = torch.randn(1, 3, 64, 40, requires_grad=True)
    net.train()
    sum(out.square().sum() for out in net(x)).backward()
    grads = [net.get_submodule(name).conv_offset.weight.grad for name in deformed(net)]
    assert all(torch.isfinite(g).all() for g in grads)
    assert sum(g.abs().sum() for g in grads) > 0
    assert x.grad.abs().sum() > 0


def test_init_zeroes_offsets_but_not_loaded_ones(tmp_path):
    net = build(dcn=DCN)
    for name in deformed(net):
        torch.nn.init.constant_(net.get_submodule(name).conv_offset.weight, 0.5)
    path = tmp_path / 'weights.pth'
    torch.save(net.state_dict(), path)
    net.init_weights()
    assert not any(net.get_submodule(name).conv_offset.weight.any() for name in deformed(net))
    loaded = build(dcn=DCN, init_cfg=dict(type='Pretrained', checkpoint=str(path)))
    loaded.init_weights()
    assert all((loaded.get_submodule(name).conv_offset.weight == 0.5).all() for name in deformed(loaded))


def reference_deform_conv(x, offset, weight, stride):
    """Depthwise deformable 3x3 convolution, padding 1, by bilinear sampling of a padded map."""
    batch, channels, height, width = x.shape
    pad = 12
    padded = F.pad(x, (pad,) * 4)
    out_h, out_w = offset.shape[-2:]
    ys = torch.arange(out_h, dtype=x.dtype)[:, None] * stride - 1 + pad
    xs = torch.arange(out_w, dtype=x.dtype)[None] * stride - 1 + pad
    total = 0
    for tap in range(9):
        y = ys + tap // 3 + offset[:, 2 * tap]
        z = xs + tap % 3 + offset[:, 2 * tap + 1]
        grid = torch.stack([2 * z / (width + 2 * pad - 1) - 1, 2 * y / (height + 2 * pad - 1) - 1], dim=-1)
        sampled = F.grid_sample(padded, grid, align_corners=True)
        total = total + sampled * weight[:, 0, tap // 3, tap % 3][None, :, None, None]
    return total


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('size', [(1, 1), (2, 2), (2, 5), (4, 1), (7, 6)])
def test_depthwise_deformable_convolution_and_its_gradients(size, stride):
    torch.manual_seed(1)
    conv = SmallInputDeformConv(4, 4, 3, stride=stride, padding=1, groups=4).double()
    torch.nn.init.normal_(conv.conv_offset.weight, std=0.2)
    torch.nn.init.normal_(conv.conv_offset.bias, std=0.5)
    x = torch.randn(2, 4, *size, dtype=torch.float64, requires_grad=True)
    got = conv(x)
    expected = reference_deform_conv(x, conv.conv_offset(x), conv.weight, stride)
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-8)
    probe = torch.randn_like(got)
    inputs = [x, *conv.parameters()]
    for a, b in zip(
        torch.autograd.grad((got * probe).sum(), inputs), torch.autograd.grad((expected * probe).sum(), inputs)
    ):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(dcn=dict(type='DCNv2')), 'DCNv2'),
        (dict(dcn=dict(type='DCN', groups=2)), 'groups'),
        (dict(dcn=dict(type='DCN', deform_groups=7)), 'deform_groups'),
        (dict(dcn=DCN, stage_with_dcn=(True, True)), 'c2, c3, c4 and c5'),
    ],
)
def test_wrong_options_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)


def test_dilated_resnet_18_of_mmdet_gives_a_c5_of_stride_16():
    # The DC5 feature that ResNet-18 without FPN uses; weights of the plain net load into it.
    cfg = dict(type='ResNet', depth=18, base_channels=4, norm_cfg=dict(type='BN'), out_indices=(3,), init_cfg=None)
    plain, dc5 = MODELS.build(cfg), MODELS.build({**cfg, 'strides': (1, 2, 2, 1), 'dilations': (1, 1, 1, 2)})
    dc5.load_state_dict(plain.state_dict())
    x = torch.randn(2, 3, 96, 64)
    (c5,), (coarse,) = dc5(x), plain(x)
    assert tuple(c5.shape) == (2, 32, 6, 4)
    assert tuple(coarse.shape) == (2, 32, 3, 2)
    assert dc5.layer4[0].conv1.dilation == (2, 2)
