"""What all classifiers of pictures do alike, on the smallest of them; the nets of the paper's tables."""

import numpy as np
import pytest
import torch
from torch import nn

from mmisn.models.classifiers import PictureClassifier, TwoConvClassifier, VGG11Classifier


class BrightestQuarter(PictureClassifier):
    """Which quarter of the canvas is brightest?"""

    def __init__(self, canvas=4):
        super().__init__(1, canvas, num_classes=4)
        self.weight = nn.Parameter(torch.ones(1))

    def logits(self, pictures):
        assert pictures.shape[1:] == (1, self.canvas, self.canvas)
        return self.weight * nn.functional.avg_pool2d(pictures, self.canvas // 2).flatten(1)


def picture(side, row, column):
    image = np.zeros((side, side), np.uint8)
    image[row, column] = 255
    return image


def test_pictures_are_cropped_or_padded_at_their_centre():
    pictures = [picture(4, 0, 3), picture(2, 1, 0), picture(8, 3, 3), picture(8, 0, 0), picture(4, 3, 3)]
    # The corner of the 8x8 picture lies outside the crop: all quarters are black, the first of them wins.
    assert BrightestQuarter().predict_labels(pictures).tolist() == [1, 2, 0, 0, 3]
    assert BrightestQuarter().predict_labels([]).tolist() == []


def test_grey_classifier_takes_colour_and_refuses_other_pictures():
    colour = np.repeat(picture(4, 0, 3)[..., None], 3, axis=2)
    assert BrightestQuarter().predict_labels([colour]).tolist() == [1]
    for bad in (colour.astype(np.float32), colour[..., :2], colour[0, 0]):
        with pytest.raises(ValueError, match='a picture is'):
            BrightestQuarter().predict_labels([bad])


def test_predictions_of_a_list_of_sizes():
    inputs = [torch.from_numpy(picture(4, 0, 3))[None], torch.from_numpy(picture(8, 4, 3))[None]]
    found = BrightestQuarter()(inputs, mode='predict', labels=[1, 3], sizes=[4, 8])
    assert found == [dict(predicted=1, label=1, size=4), dict(predicted=2, label=3, size=8)]


def test_loss_is_cross_entropy_of_pictures_in_0_to_1():
    inputs = torch.from_numpy(np.stack([picture(4, 0, 3), picture(4, 3, 3)]))[:, None]
    loss = BrightestQuarter()(inputs, mode='loss', labels=torch.tensor([1, 1]), sizes=torch.tensor([4, 4]))
    # A quarter's mean is 255 / 255 / 4 where the pixel is, 0 in the three others.
    logits = np.array([[0, 0.25, 0, 0], [0, 0, 0, 0.25]])
    expected = np.mean(np.log(np.exp(logits).sum(1)) - logits[:, 1])
    assert loss['loss_cls'].item() == pytest.approx(expected)
    with pytest.raises(ValueError, match="tensor, loss and predict, got 'x'"):
        BrightestQuarter()(inputs, mode='x')


def test_the_paper_s_classifier():
    model = TwoConvClassifier(hidden=64)
    shapes = [tuple(p.shape) for p in model.parameters() if p.ndim > 1]
    assert shapes == [(16, 1, 5, 5), (32, 16, 5, 5), (64, 32 * 7 * 7), (10, 64)]
    assert model(torch.zeros(2, 1, 28, 28, dtype=torch.uint8)).shape == (2, 10)
    with pytest.raises(ValueError, match='multiple of 4, got 30'):
        TwoConvClassifier(canvas=30)


def test_deformable_convolutions_learn_offsets():
    model = TwoConvClassifier(conv_cfg=dict(type='DCN'))
    loss = model(torch.randint(0, 256, (2, 1, 28, 28), dtype=torch.uint8), mode='loss', labels=torch.tensor([1, 2]))
    loss['loss_cls'].backward()
    offsets = [p for name, p in model.named_parameters() if 'offset' in name and p.ndim == 4]
    assert len(offsets) == 2 and all(p.grad.abs().sum() > 0 for p in offsets)


def test_deformable_convolutions_predict_any_number_of_pictures():
    model = TwoConvClassifier(conv_cfg=dict(type='DCN'))
    pictures = [np.random.default_rng(i).integers(0, 256, (28, 28), np.uint8) for i in range(37)]
    alone = [int(model.predict_labels([picture])[0]) for picture in pictures]
    assert model.predict_labels(pictures).tolist() == alone and len(set(alone)) > 1


def test_vgg11():
    model = VGG11Classifier(canvas=64).eval()
    assert [m.out_channels for m in model.modules() if isinstance(m, nn.Conv2d)] == [64, 128, 256, 256, *[512] * 4]
    assert model(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 10)
    with pytest.raises(ValueError, match='multiple of 32, got canvas 28'):
        VGG11Classifier(canvas=28)
