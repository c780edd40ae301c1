"""The configs on MNIST and CIFAR-10 in a runner, on made-up files of a few pictures: a step or two, then a test."""

import cv2
import numpy as np
import pytest
import torch
from mmengine.runner import Runner
from test_config_pictures import load

from mmisn.chips.rescale import fit_canvas, resize_picture
from mmisn.datasets import cifar10

RNG = np.random.default_rng(0)


def as_idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b''.join(n.to_bytes(4, 'big') for n in array.shape)
    return header + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    for stem, number in (('train', 8), ('t10k', 3)):
        digits = np.zeros((number, 28, 28), np.uint8)
        digits[:, 6:22, 8:20] = RNG.integers(0, 256, (number, 16, 12), np.uint8)
        (tmp_path / f'{stem}-images-idx3-ubyte').write_bytes(as_idx(digits))
        (tmp_path / f'{stem}-labels-idx1-ubyte').write_bytes(as_idx(np.arange(number, dtype=np.uint8)))
    return tmp_path


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """The binary version with four pictures a file."""
    monkeypatch.setattr(cifar10, 'RECORDS', 4)
    for name in ('test_batch', *(f'data_batch_{i}' for i in range(1, 6))):
        content = RNG.integers(0, 256, (4, 3073), np.uint8)
        content[:, 0] = RNG.integers(0, 10, 4)
        (tmp_path / f'{name}.bin').write_bytes(content.tobytes())
    return tmp_path


def runner_of(name, data, batch_size, **changes):
    cfg = load(name)
    cfg.work_dir = str(data / name)
    cfg.log_level = 'ERROR'
    cfg.merge_from_dict({f'{loader}_dataloader.dataset.data_root': str(data) for loader in ('train', 'val', 'test')})
    cfg.merge_from_dict({'train_dataloader.batch_size': batch_size, 'train_cfg.max_epochs': 1, **changes})
    return Runner.from_cfg(cfg)


def train(runner, steps):
    """Train for an epoch; every loss is finite and every weight moves."""
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    model = runner.train()
    losses = [value for value, _ in zip(*runner.message_hub.get_scalar('train/loss').data)]
    assert runner.iter == len(losses) == steps and np.isfinite(losses).all() and min(losses) > 0
    assert [key for key, value in model.named_parameters() if torch.equal(value, before[key])] == []
    return model


def accuracy_by_hand(model, images, labels, size, canvas):
    """Each picture alone, resampled and padded by hand."""
    pictures = [fit_canvas(resize_picture(image, (size, size)), max(size, canvas)) for image in images]
    return np.mean([model.predict_labels([p])[0] == label for p, label in zip(pictures, labels)])


def test_cifar10_from_training_to_table_4(cifar):
    """Classifier and scale net are trained, each in two steps, then both are tested as Recursive-ScaleNet."""
    images, labels = cifar10.read_cifar10(cifar, 'test')
    runner = runner_of('vgg11-classifier_1xb64-10e_cifar10.py', cifar, 30)
    model = train(runner, 2)
    metrics = runner.test()
    by_hand = {s: accuracy_by_hand(model, images, labels, s, 64) for s in (32, 38, 44, 96)}
    assert metrics['accuracy/96'] == by_hand[96]
    assert metrics['accuracy/val'] == pytest.approx(np.mean([by_hand[s] for s in (32, 38, 44)]))

    scale_net = runner_of('simple-scale-net_1xb64-2e_cifar10.py', cifar, 30)
    net = train(scale_net, 2)
    found = scale_net.test()
    shown = [resize_picture(image, (96, 96)) for image in images]
    # The paper's k of the object's pixels: a tenth.
    means = [np.sort(v := m[m > 0])[-max(1, round(0.1 * v.size)) :].mean() for m in net.predict_maps(shown)]
    assert found['scale/mean_96'] == pytest.approx(np.mean(means), rel=1e-4)

    checkpoints = [str(cifar / name / 'epoch_1.pth') for name in (
        'vgg11-classifier_1xb64-10e_cifar10.py', 'simple-scale-net_1xb64-2e_cifar10.py')]  # fmt: skip
    changes = {'load_from': checkpoints[0], 'model.scale_net.init_cfg.checkpoint': checkpoints[1]}
    once = []
    for depth in (30, 1):
        runner = runner_of('recursive_cifar10.py', cifar, 30, **changes, **{'model.max_rescales': depth})
        metrics = runner.test()
        paths = runner.model.rescale(images_at := [resize_picture(image, (96, 96)) for image in images])
        assert metrics['accuracy/rescales_96'] == np.mean([path.rescales for path in paths])
        assert metrics['accuracy/open_96'] == np.mean([not path.ended for path in paths])
        views = [resize_picture(image, path.chips[-1].size_wh) for image, path in zip(images_at, paths)]
        right = [model.predict_labels([view])[0] == label for view, label in zip(views, labels)]
        assert metrics['accuracy/96'] == np.mean(right)
        assert max(path.rescales for path in paths) <= depth
        # The weights are those of the two trainings.
        assert torch.equal(runner.model.scale_net.layers[0].weight, net.layers[0].weight)
        # What the recursion tells of rescaling once is what rescaling once tells.
        once.append(metrics['accuracy/once_96'])
    assert once == [metrics['accuracy/96']] * 2


@pytest.mark.parametrize(
    ('name', 'changes'),
    [
        ('capsnet_1xb64-1e_mnist.py', {'model.channels': 8}),
        ('two-conv-classifier-dcn_1xb64-1e_mnist.py', {'model.hidden': 8}),
    ],
)
def test_baselines_on_mnist(mnist, name, changes):
    # Sizes below a canvas and beyond it.
    runner = runner_of(name, mnist, 12, **{'test_dataloader.dataset.sizes': (14, 16, 18, 40), **changes})
    model = train(runner, 2)
    metrics = runner.test()
    digits = np.frombuffer((mnist / 't10k-images-idx3-ubyte').read_bytes()[16:], np.uint8).reshape(-1, 28, 28)
    shown = [cv2.resize(d, (40, 40), interpolation=cv2.INTER_CUBIC)[6:34, 6:34] for d in digits]
    assert metrics['accuracy/40'] == np.mean(model.predict_labels(shown) == np.arange(3))
    by_hand = [accuracy_by_hand(model, digits, range(3), size, 28) for size in (14, 16, 18)]
    assert metrics['accuracy/val'] == pytest.approx(np.mean(by_hand))
