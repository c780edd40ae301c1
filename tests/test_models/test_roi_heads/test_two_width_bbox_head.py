import math

import pytest
import torch
from mmdet.registry import MODELS

import mmisn  # noqa: F401


def build(kind='TwoWidthBBoxHead', **kwargs):
    return MODELS.build(dict(type=kind, in_channels=4, roi_feat_size=2, num_classes=3, **kwargs))


def test_shapes_of_the_weights():
    shapes = {k: tuple(v.shape) for k, v in build(fc_out_channels=(6, 5)).state_dict().items()}
    assert shapes == {
        'shared_fcs.0.weight': (6, 16),
        'shared_fcs.0.bias': (6,),
        'shared_fcs.1.weight': (5, 6),
        'shared_fcs.1.bias': (5,),
        'fc_cls.weight': (4, 5),
        'fc_cls.bias': (4,),
        'fc_reg.weight': (12, 5),
        'fc_reg.bias': (12,),
    }


def test_default_is_the_papers():
    head = build()
    assert [fc.out_features for fc in head.shared_fcs] == [512, 256]
    assert head.fc_cls.in_features == head.fc_reg.in_features == 256


def test_forward_written_out():
    head = build(fc_out_channels=(6, 5), reg_class_agnostic=True)
    x = torch.randn(3, 4, 2, 2)
    hidden = x.flatten(1)
    for fc in head.shared_fcs:
        hidden = (hidden @ fc.weight.T + fc.bias).clamp(min=0)
    cls_score, bbox_pred = head(x)
    torch.testing.assert_close(cls_score, hidden @ head.fc_cls.weight.T + head.fc_cls.bias)
    torch.testing.assert_close(bbox_pred, hidden @ head.fc_reg.weight.T + head.fc_reg.bias)


def test_equal_widths_are_the_shared_2fc_head():
    head, reference = build(fc_out_channels=(1024, 1024)), build('Shared2FCBBoxHead', fc_out_channels=1024)
    assert list(head.state_dict()) == list(reference.state_dict())
    assert head.init_cfg == reference.init_cfg
    head.load_state_dict(reference.state_dict())
    x = torch.randn(2, 4, 2, 2)
    for got, expected in zip(head(x), reference(x)):
        assert torch.equal(got, expected)


def test_both_fcs_are_initialized_as_xavier():
    head = build(fc_out_channels=(30, 20))
    for fc in head.shared_fcs:
        torch.nn.init.constant_(fc.weight, 7.0)
    head.init_weights()
    for fc in head.shared_fcs:
        bound = math.sqrt(6 / (fc.in_features + fc.out_features))
        largest = fc.weight.abs().max().item()
        assert 0.9 * bound < largest <= bound
        assert not fc.bias.any()


@pytest.mark.parametrize(
    'kwargs, match',
    [
        (dict(fc_out_channels=(8,)), 'two positive integers'),
        (dict(fc_out_channels=(8, 0)), 'two positive integers'),
        (dict(fc_out_channels=(8, 4.0)), 'two positive integers'),
        (dict(fc_out_channels=8), 'two positive integers'),
        (dict(num_shared_fcs=3), 'num_shared_fcs'),
        (dict(num_cls_convs=1), 'num_cls_convs'),
    ],
)
def test_wrong_options_are_refused(kwargs, match):
    with pytest.raises(ValueError, match=match):
        build(**kwargs)
