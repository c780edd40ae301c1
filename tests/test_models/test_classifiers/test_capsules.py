"""CapsNet against NumPy transcriptions of the paper's equations."""

import numpy as np
import pytest
import torch

from mmisn.models.classifiers import CapsNet, margin_loss, route, squash


def numpy_squash(v):
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return length**2 / (1 + length**2) * v / length


def numpy_route(votes, iterations):
    """Procedure 1 for one picture, loop by loop."""
    below, classes, _ = votes.shape
    b = np.zeros((below, classes))
    for _ in range(iterations):
        c = np.exp(b) / np.exp(b).sum(1, keepdims=True)
        s = np.stack([sum(c[i, j] * votes[i, j] for i in range(below)) for j in range(classes)])
        v = numpy_squash(s)
        b = b + np.array([[votes[i, j] @ v[j] for j in range(classes)] for i in range(below)])
    return v


def test_squash():
    vectors = np.random.default_rng(0).normal(size=(5, 8))
    np.testing.assert_allclose(squash(torch.from_numpy(vectors)), numpy_squash(vectors), rtol=1e-6)
    zero = torch.zeros(3, requires_grad=True)
    squash(zero).sum().backward()
    assert torch.isfinite(zero.grad).all() and squash(zero).abs().max() == 0


@pytest.mark.parametrize('iterations', [1, 2, 3])
def test_routing(iterations):
    votes = np.random.default_rng(1).normal(size=(2, 7, 3, 4))
    found = route(torch.from_numpy(votes), iterations)
    np.testing.assert_allclose(found, [numpy_route(v, iterations) for v in votes], rtol=1e-6)


def test_margin_loss():
    lengths = torch.tensor([[0.95, 0.3, 0.1], [0.2, 0.5, 0.05]])
    first = 0 + 0.5 * 0.2**2 + 0
    second = (0.9 - 0.5) ** 2 + 0.5 * 0.1**2
    assert margin_loss(lengths, torch.tensor([0, 1])).item() == pytest.approx((first + second) / 2)


def test_capsnet():
    torch.manual_seed(0)
    model = CapsNet(channels=16)
    assert model.transforms.shape == (2 * 6 * 6, 10, 8, 16)
    pictures = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    lengths = model(pictures)
    assert lengths.shape == (3, 10) and lengths.min() >= 0 and lengths.max() < 1
    losses = model(pictures, mode='loss', labels=torch.tensor([1, 2, 3]))
    sum(losses.values()).backward()
    assert set(losses) == {'loss_margin', 'loss_reconstruction'}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    with pytest.raises(ValueError, match='at least 17 px'):
        CapsNet(canvas=16)
    with pytest.raises(ValueError, match='multiple of 8'):
        CapsNet(channels=20)
