from types import SimpleNamespace

import pytest
import torch
from mmdet.registry import MODELS

from mmisn.engine import NormEvalHook


def runner_at(epoch, backbone):
    model = torch.nn.Module()
    model.backbone = backbone
    return SimpleNamespace(epoch=epoch, model=model)


@pytest.mark.parametrize(('epoch', 'frozen'), [(0, False), (2, False), (3, True), (7, True)])
def test_statistics_are_fixed_from_the_epoch_on(epoch, frozen):
    backbone = MODELS.build(dict(type='ResNet', depth=18, base_channels=4, stem_channels=4, norm_eval=False))
    backbone.train()
    NormEvalHook(begin=3).before_train_epoch(runner_at(epoch, backbone))
    before = backbone.bn1.running_mean.clone()
    # An epoch begins with model.train(), which must not undo it.
    backbone.train()
    backbone(torch.rand(2, 3, 32, 32))
    assert torch.equal(backbone.bn1.running_mean, before) == frozen
    assert backbone.bn1.weight.requires_grad
    assert backbone.training


def test_errors():
    with pytest.raises(ValueError, match='begin must be >= 0, got -1'):
        NormEvalHook(-1)
    with pytest.raises(AttributeError, match='Linear has no norm_eval'):
        NormEvalHook(0).before_train_epoch(runner_at(0, torch.nn.Linear(1, 1)))
