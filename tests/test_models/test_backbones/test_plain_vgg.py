import pytest
import torch
from mmdet.registry import MODELS
from torch import nn

# torchvision's vgg16().features: 13 convolutions, each with a ReLU, and pooling after the 2nd, 4th, 7th, 10th and 13th.
LAYERS = [64, 64, 'M', 128, 128, 'M', 256, 256, 256, 'M', 512, 512, 512, 'M', 512, 512, 512, 'M']


def reference():
    modules, channels = [], 3
    for layer in LAYERS:
        if layer == 'M':
            modules.append(nn.MaxPool2d(2, 2))
        else:
            modules += [nn.Conv2d(channels, layer, 3, padding=1), nn.ReLU()]
            channels = layer
    return nn.Sequential(*modules)


def test_features_are_those_before_each_pooling_with_torchvisions_names():
    vgg, theirs = MODELS.build(dict(type='PlainVGG', depth=16)), reference()
    state = {f'features.{k}': v for k, v in theirs.state_dict().items()}
    assert vgg.load_state_dict(state, strict=True)
    x, expected = torch.rand(1, 3, 32, 48), []
    with torch.no_grad():
        found = vgg(x)
        for module in theirs:
            if isinstance(module, nn.MaxPool2d):
                expected.append(x)
            x = module(x)
    assert [tuple(f.shape[1:]) for f in found] == [
        *((64, 32, 48), (128, 16, 24), (256, 8, 12)),
        *((512, 4, 6), (512, 2, 3)),
    ]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_any_size_and_a_choice_of_stages():
    vgg = MODELS.build(dict(type='PlainVGG', depth=11, out_indices=(1, 3)))
    assert [tuple(f.shape[1:]) for f in vgg(torch.rand(1, 3, 1, 35))] == [(128, 1, 18), (512, 1, 5)]
    with pytest.raises(ValueError, match='stages of 0 to 4'):
        MODELS.build(dict(type='PlainVGG', out_indices=(5,)))


def test_weights_are_drawn_or_loaded_by_init_cfg(tmp_path):
    vgg = MODELS.build(dict(type='PlainVGG', depth=11))
    before = vgg.features[0].weight.clone()
    vgg.init_weights()
    # Kaiming: variance 2 / fan out.
    assert vgg.features[18].weight.std().item() == pytest.approx((2 / (512 * 9)) ** 0.5, rel=0.02)
    assert not vgg.features[0].bias.any() and not torch.equal(before, vgg.features[0].weight)
    torch.save(vgg.state_dict(), tmp_path / 'vgg.pth')
    init_cfg = dict(type='Pretrained', checkpoint=str(tmp_path / 'vgg.pth'))
    loaded = MODELS.build(dict(type='PlainVGG', depth=11, init_cfg=init_cfg))
    loaded.init_weights()
    assert all(torch.equal(a, b) for a, b in zip(vgg.state_dict().values(), loaded.state_dict().values()))
