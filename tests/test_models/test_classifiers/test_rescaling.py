"""A classifier behind a scale net: what each sees, and how their checkpoints are loaded."""

import numpy as np
import pytest
import torch
from mmengine.runner import load_checkpoint

from mmisn.chips.rescale import resize_picture
from mmisn.models.classifiers import RescalingClassifier, TwoConvClassifier, recursion_steps
from mmisn.models.scale_nets import SimpleScaleNet

RULE = dict(type='RegressionRule', upper=1.05)


class SquareRoot:
    """In the place of a scale net: predicts the root of the relative scale, 16 px being 1."""

    def __init__(self):
        self.seen = []

    def predict_maps(self, images):
        self.seen += [image.copy() for image in images]
        return [np.full(image.shape[:2], (image.shape[1] / 16) ** 0.5, np.float32) for image in images]


class Recorder(torch.nn.Module):
    """In the place of a classifier."""

    def predictions(self, pictures, targets):
        self.seen = pictures
        return [dict(predicted=1, label=2, size=3) for _ in pictures]

    def predict_labels(self, pictures):
        self.seen_again = pictures
        return np.arange(len(pictures))


def stand_ins(**kwargs):
    model = RescalingClassifier(Recorder(), torch.nn.Identity(), RULE, **kwargs)
    object.__setattr__(model, 'scale_net', SquareRoot())
    del model._modules['scale_net']
    return model


def picture(side, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (1, side, side), dtype=np.uint8))


def test_pixels_are_cut_from_the_original():
    model, inputs = stand_ins(), [picture(64), picture(16)]
    results = model(inputs, mode='predict', labels=[0, 0], sizes=[64, 16])
    original = inputs[0][0].numpy()
    for side in (32, 22, 20, 18, 16):
        direct = resize_picture(original, (side, side))
        assert any(np.array_equal(seen[..., 0], direct) for seen in model.scale_net.seen), side
    np.testing.assert_array_equal(model.classifier.seen[0][..., 0], resize_picture(original, (16, 16)))
    np.testing.assert_array_equal(model.classifier.seen[1][..., 0], inputs[1][0])
    # After one rescale, 64 px are 32: asked for again, class 0. 16 px are never rescaled: the class that they have.
    assert results[0] == dict(
        predicted=1,
        label=2,
        size=3,
        predicted_once=0,
        rescales=5,
        ended=True,
        pixels=sum(s * s for s in (64, 32, 22, 20, 18, 16)),
    )
    (again,) = model.classifier.seen_again
    np.testing.assert_array_equal(again[..., 0], resize_picture(original, (32, 32)))
    assert results[1]['rescales'] == 0 and results[1]['predicted_once'] == 1


class Canvas(SquareRoot):
    """A net that pads to 20 px, and counts so."""

    def computed_wh(self, size_wh):
        return tuple(max(side, 20) for side in size_wh)


def test_pixels_are_those_that_are_computed():
    """Padding to the canvas is computed as well."""
    model = stand_ins()
    object.__setattr__(model, 'scale_net', Canvas())
    (result,) = model([picture(64)], mode='predict', labels=[0], sizes=[64])
    assert result['pixels'] == 64**2 + 32**2 + 22**2 + 3 * 20**2
    # As the real net does: 8 px on a canvas of 28.
    net = SimpleScaleNet()
    seen = []
    net.layers.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape[-2:].numel()))
    for wh in ((8, 8), (40, 30), (40, 8)):
        net.predict_maps([np.ones(wh[::-1], np.uint8)])
        assert seen.pop() == np.prod(net.computed_wh(wh))
    assert net.computed_wh((8, 8)) == (28, 28) and net.computed_wh((40, 8)) == (40, 28)


def test_rescaling_once_and_not_at_all():
    once = stand_ins(max_rescales=1)
    (result,) = once([picture(64)], mode='predict', labels=[0], sizes=[64])
    assert result['predicted_once'] == result['predicted']
    assert result['rescales'] == 1 and not result['ended'] and once.classifier.seen[0].shape[:2] == (32, 32)
    never = stand_ins(max_rescales=0)
    never([picture(64)], mode='predict', labels=[0], sizes=[64])
    assert never.classifier.seen[0].shape[:2] == (64, 64)


def test_steps_of_the_strip():
    steps = recursion_steps(stand_ins(), picture(64)[0].numpy())
    assert [view.shape[0] for view, *_ in steps] == [64, 32, 22, 20, 18, 16]
    assert [label for *_, label in steps] == list(range(6))
    assert [top for _, _, top, _ in steps] == pytest.approx([(s / 16) ** 0.5 for s in (64, 32, 22, 20, 18, 16)])


def test_it_only_predicts():
    with pytest.raises(ValueError, match="got mode='loss'"):
        stand_ins()([picture(16)], mode='loss')


@pytest.fixture
def files(tmp_path):
    nets = dict(classifier=TwoConvClassifier(hidden=8), scale_net=SimpleScaleNet())
    for name, net in nets.items():
        torch.save(dict(state_dict=net.state_dict()), tmp_path / f'{name}.pth')
    return nets, tmp_path


def rescaling(folder=None, hidden=8):
    init_cfg = dict(type='Pretrained', checkpoint=str(folder / 'scale_net.pth')) if folder else None
    return RescalingClassifier(
        dict(type='TwoConvClassifier', hidden=hidden), dict(type='SimpleScaleNet', init_cfg=init_cfg), RULE
    )


def test_takes_the_plain_checkpoint_of_the_classifier(files):
    nets, folder = files
    model = rescaling(folder)
    load_checkpoint(model, str(folder / 'classifier.pth'), map_location='cpu')
    for name, net in nets.items():
        loaded = getattr(model, name).state_dict()
        assert all(torch.equal(value, loaded[key]) for key, value in net.state_dict().items())


def test_loading_in_part_is_an_error(files):
    _, folder = files
    with pytest.raises(RuntimeError, match='no weights of scale_net'):
        load_checkpoint(rescaling(), str(folder / 'classifier.pth'), map_location='cpu')
    with pytest.raises(RuntimeError, match='does not fit'):
        load_checkpoint(rescaling(folder, hidden=9), str(folder / 'classifier.pth'), map_location='cpu')
    with pytest.raises(RuntimeError, match='lacks'):
        load_checkpoint(rescaling(folder), str(folder / 'scale_net.pth'), map_location='cpu')
