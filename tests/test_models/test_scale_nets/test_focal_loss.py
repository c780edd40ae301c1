import numpy as np
import pytest
import torch
from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
from torch.nn import functional

from mmisn.models.scale_nets import IGNORED, SoftmaxFocalLoss, softmax_focal_loss


@pytest.fixture
def batch():
    torch.manual_seed(0)
    logits = 3 * torch.randn(2, 4, 3, 5)
    labels = torch.randint(0, 4, (2, 3, 5))
    labels[0, 0, :2] = IGNORED
    return logits, labels


@pytest.mark.parametrize('gamma', [0.0, 2.0, 3.5])
def test_formula(batch, gamma):
    """-(1 - p)^gamma log p in NumPy, pixel by pixel, in double precision."""
    logits, labels = batch
    found = softmax_focal_loss(logits, labels, gamma)
    for (b, y, x), label in np.ndenumerate(labels.numpy()):
        values = np.exp(logits[b, :, y, x].numpy().astype(np.float64))
        p = values[label] / values.sum() if label != IGNORED else None
        expected = 0 if p is None else -((1 - p) ** gamma) * np.log(p)
        assert found[b, y, x].item() == pytest.approx(expected, rel=1e-4, abs=1e-7)


def test_mean_over_pixels_that_are_not_ignored(batch):
    logits, labels = batch
    expected = softmax_focal_loss(logits, labels, 2.0).sum() / 28
    assert SoftmaxFocalLoss()(logits, labels).item() == pytest.approx(expected.item())
    cross_entropy = functional.cross_entropy(logits, labels, ignore_index=IGNORED)
    assert SoftmaxFocalLoss(gamma=0)(logits, labels).item() == pytest.approx(cross_entropy.item())
    assert SoftmaxFocalLoss(loss_weight=3)(logits, labels).item() == pytest.approx(3 * expected.item())


def test_two_classes_are_mmdets_sigmoid_focal_loss():
    """Softmax over (0, x) is the sigmoid of x; alpha = 0.5 halves both sides."""
    torch.manual_seed(1)
    x, target = 2 * torch.randn(40), torch.randint(0, 2, (40,))
    theirs = py_sigmoid_focal_loss(x[:, None], target[:, None], gamma=2.0, alpha=0.5, reduction='none')[:, 0]
    logits = torch.stack([torch.zeros_like(x), x])[None, :, None]
    ours = softmax_focal_loss(logits, target[None, None], 2.0)[0, 0]
    torch.testing.assert_close(ours, 2 * theirs, rtol=1e-4, atol=1e-6)


def test_class_weights(batch):
    logits, labels = batch
    weights = (0.5, 1.0, 2.0, 4.0)
    plain = softmax_focal_loss(logits, labels, 2.0)
    expected = sum(w * plain[labels == label].sum() for label, w in enumerate(weights)) / 28
    assert SoftmaxFocalLoss(class_weight=weights)(logits, labels).item() == pytest.approx(expected.item())
    with pytest.raises(ValueError, match='2 class weights for 4 classes'):
        SoftmaxFocalLoss(class_weight=(1, 1))(logits, labels)


@pytest.mark.parametrize('gamma', [0.5, 2.0])
def test_ignored_pixels_have_no_gradient_and_sure_ones_a_finite_one(batch, gamma):
    logits, labels = batch
    logits[1, :, 0, 0] = torch.tensor([200.0, -200, -200, -200])
    labels[1, 0, 0], labels[1, 0, 1] = 0, 3
    logits[1, :, 0, 1] = torch.tensor([200.0, -200, -200, -200])
    logits.requires_grad_()
    SoftmaxFocalLoss(gamma=gamma)(logits, labels).backward()
    assert torch.isfinite(logits.grad).all()
    assert not logits.grad[0, :, 0, :2].any() and logits.grad[0, :, 0, 2:].any()
    # Right with all the probability: nothing to learn; wrong with all of it: as in cross entropy.
    assert not logits.grad[1, :, 0, 0].any()
    torch.testing.assert_close(logits.grad[1, :, 0, 1] * 28, torch.tensor([1.0, 0, 0, -1]))


def test_nothing_but_ignored_pixels():
    logits = torch.randn(1, 3, 2, 2, requires_grad=True)
    loss = SoftmaxFocalLoss()(logits, torch.full((1, 2, 2), IGNORED))
    loss.backward()
    assert loss.item() == 0 and not logits.grad.any()


def test_half_precision_is_not_computed_in_half():
    logits = torch.tensor([8.0, 0.0]).view(1, 2, 1, 1)
    labels = torch.zeros(1, 1, 1, dtype=torch.long)
    assert SoftmaxFocalLoss()(logits.half(), labels).item() == SoftmaxFocalLoss()(logits, labels).item() > 0


@pytest.mark.parametrize('options', [dict(gamma=-1), dict(class_weight=(1, -1)), dict(gamma=float('nan'))])
def test_invalid_options(options):
    with pytest.raises(ValueError, match='SoftmaxFocalLoss'):
        SoftmaxFocalLoss(**options)
