"""The scale net of small pictures: its layers, targets, loss and maps."""

import numpy as np
import pytest
import torch

from mmisn.models.scale_nets import SimpleScaleNet


def test_layers_of_table_1():
    model = SimpleScaleNet()
    convs = [layer for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
    assert [(c.kernel_size, c.out_channels) for c in convs] == [((7, 7), 16), ((7, 7), 32), ((5, 5), 1)]
    assert sum(isinstance(layer, torch.nn.ReLU) for layer in model.modules()) == 3
    maps = model(torch.randint(0, 256, (2, 1, 30, 41), dtype=torch.uint8))
    assert maps.shape == (2, 30, 41) and maps.min() >= 0


@pytest.mark.parametrize('weight', [1.0, 0.1])
def test_loss_against_numpy(weight):
    torch.manual_seed(0)
    model = SimpleScaleNet(background_weight=weight)
    inputs = torch.zeros(2, 1, 28, 28, dtype=torch.uint8)
    inputs[0, 0, 10:14, 9:20] = 200
    inputs[1, 0, 5:25, 13] = 3
    loss = model(inputs, mode='loss', scales=torch.tensor([0.875, 1.125]), sizes=torch.tensor([14, 18]))
    maps, objects = model(inputs).detach().numpy(), inputs[:, 0].numpy() > 0
    squared = (maps - objects * np.array([0.875, 1.125])[:, None, None]) ** 2
    expected = (squared[objects].sum() + weight * squared[~objects].sum()) / (4 * 11 + 20)
    assert loss['loss_scale'].item() == pytest.approx(expected, rel=1e-5)


def test_an_object_may_be_the_whole_picture():
    model = SimpleScaleNet(3, canvas=8, object_pixels='picture')
    objects = model.objects(torch.zeros(3, 3, 8, 8, dtype=torch.uint8), torch.tensor([4, 3, 8]))
    expected = np.zeros((3, 8, 8), bool)
    expected[0, 2:6, 2:6] = expected[1, 2:5, 2:5] = expected[2] = True
    np.testing.assert_array_equal(objects, expected)


def test_a_picture_without_object_has_a_loss():
    loss = SimpleScaleNet()(
        torch.zeros(1, 1, 28, 28, dtype=torch.uint8), mode='loss', scales=torch.ones(1), sizes=torch.tensor([16])
    )
    assert torch.isfinite(loss['loss_scale'])


def test_maps_are_of_each_picture_as_if_alone():
    torch.manual_seed(0)
    model, rng = SimpleScaleNet(canvas=28).train(), np.random.default_rng(0)
    pictures = [rng.integers(0, 256, (side, side), dtype=np.uint8) for side in (28, 40, 16, 15, 28)]
    maps = model.predict_maps(pictures)
    assert model.training
    assert [m.shape for m in maps] == [p.shape for p in pictures]
    padded = np.zeros((28, 28), np.uint8)
    padded[6:22, 6:22] = pictures[2]
    for picture, found, part in (
        (pictures[1], maps[1], np.s_[:, :]),
        (pictures[4], maps[4], np.s_[:, :]),
        (padded, maps[2], np.s_[6:22, 6:22]),
    ):
        alone = model(torch.from_numpy(picture)[None, None])[0].detach().numpy()
        np.testing.assert_allclose(found, alone[part], atol=1e-5)
    colour = np.repeat(pictures[0][..., None], 3, axis=2)
    np.testing.assert_allclose(model.predict_maps([colour])[0], maps[0], atol=1e-5)


@pytest.mark.parametrize('size_hw', [(84, 84), (60, 131), (27, 90)])
@pytest.mark.parametrize('channels', [1, 3])
def test_maps_around_objects_are_those_of_the_whole_pictures(size_hw, channels):
    torch.manual_seed(0)
    model, rng = SimpleScaleNet(channels, canvas=20), np.random.default_rng(0)
    for layer in model.layers[::2]:  # biases, as after training: black is not 0 to the layers
        torch.nn.init.normal_(layer.bias)
    torch.nn.init.constant_(model.layers[4].bias, 10.0)  # no value is cut by the last ReLU
    height, width = size_hw
    places = [(20, 26, 30, 45), (0, 1, 0, 1), (height - 1, height, width - 1, width), (12, 14, 0, 9), (0, 4, 40, 50)]
    pictures = [np.zeros((*size_hw, channels), np.uint8)]
    for top, bottom, left, right in places:
        pictures.append(pictures[0].copy())
        pictures[-1][top:bottom, left:right] = rng.integers(1, 256, (bottom - top, right - left, channels))
    computed = []
    model.register_forward_hook(lambda module, inputs, outputs: computed.append(outputs.numel()))
    maps = model.predict_maps([picture[..., 0] if channels == 1 else picture for picture in pictures])
    if min(size_hw) > 27:
        assert sum(computed) < 0.5 * len(pictures) * height * width
    with torch.no_grad():
        expected = model(torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)).numpy()
    assert expected.std() > 0.1 and expected.min() > 0
    np.testing.assert_allclose(maps, expected, atol=1e-5)


def test_a_wide_picture_is_padded_along_one_axis():
    model = SimpleScaleNet(canvas=28)
    assert model.predict_maps([np.zeros((10, 60), np.uint8)])[0].shape == (10, 60)


def test_predictions_are_top_k_of_the_object():
    model = SimpleScaleNet(top_k=0.5)
    model.predict_maps = lambda images: [np.array([[0, 0, 1.0, 2.0], [0, 0, 1.0, 4.0]]), np.zeros((2, 4))]
    found = model(
        torch.zeros(2, 1, 2, 4, dtype=torch.uint8), mode='predict', scales=torch.tensor([1.0, 2.0]), sizes=[16, 32]
    )
    assert found == [dict(scale=3.0, true_scale=1.0, size=16), dict(scale=None, true_scale=2.0, size=32)]


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(object_pixels='all'), "nonzero or picture, got 'all'"),
        (dict(in_channels=2), 'in_channels must be 1'),
        (dict(background_weight=-1.0), 'background_weight must be at least 0'),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SimpleScaleNet(**kwargs)
