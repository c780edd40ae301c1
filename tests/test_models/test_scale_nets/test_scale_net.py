import math

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from scale_nets_small import HEADS, inputs_of, picture, sample_of, small_net
from torch.nn import functional

from mmisn.models.scale_nets import softmax_focal_loss


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('size', [(64, 48), (33, 47), (1, 1), (7, 130)])
def test_maps_have_the_size_of_any_image(head, size):
    (found,) = small_net(head).predict_maps([picture(*size)])
    assert found.shape == (size if head == 'regression' else (4, *size)) and found.dtype == np.float32
    assert np.isfinite(found).all() and found.min() >= 0
    if head == 'classes':
        np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-5)


def test_what_generators_read():
    net = small_net()
    assert net.class_bounds == (0, 4, 16, math.inf) and net.measure == 'sqrt_box' and net.view_size is None
    assert net.view_wh((640, 480)) == (640, 480)
    assert small_net(view_size=(64, 48)).view_wh((640, 360)) == (64, 48)
    assert small_net(view_size=(64, 64), keep_ratio=True).view_wh((640, 480)) == (64, 48)
    assert small_net('regression').class_bounds is None


def test_extreme_shapes_keep_a_pixel():
    """(2000, 1) fitted into (256, 256) is 256 by 0.128 px."""
    net = small_net(view_size=(256, 256), keep_ratio=True)
    assert net.view_wh((2000, 1)) == (256, 1) and net.view_wh((1, 2000)) == (1, 256)
    (found,) = net.predict_maps([picture(1, 2000)])
    assert found.shape == (4, 1, 2000) and np.isfinite(found).all()


@pytest.mark.parametrize('head', HEADS)
def test_maps_are_those_of_the_preprocessed_image(head):
    """Against the steps one by one: RGB, mean and deviation, network, softmax or clamp."""
    net, image = small_net(head).eval(), picture(40, 56)
    rgb = (image[..., ::-1].astype(np.float32) - [10, 20, 30]) / [50, 60, 70]
    batch = torch.from_numpy(rgb.transpose(2, 0, 1)[None].astype(np.float32))
    with torch.no_grad():
        features = net.decoder(net.backbone(batch), (40, 56))
        assert features.shape[-2:] == (20, 28)  # MobileNetV2's finest features; the rest is interpolated
        raw = functional.interpolate(net.head.conv(features), (40, 56), mode='bilinear', align_corners=False)[0]
        expected = raw.softmax(dim=0) if head == 'classes' else raw[0].clamp(min=0)
    np.testing.assert_allclose(net.predict_maps([image])[0], expected.numpy(), rtol=1e-5, atol=1e-6)


def test_images_of_a_batch_do_not_see_each_other():
    """Sizes that differ, more than a batch of one size, and the training mode that is restored."""
    net = small_net(batch_size=2).train()
    images = [picture(*size, seed=i) for i, size in enumerate([(24, 32), (40, 16), (24, 32), (24, 32), (9, 9)])]
    together = net.predict_maps(images)
    assert net.training and net.backbone.training
    for image, found in zip(images, together):
        np.testing.assert_allclose(found, net.predict_maps([image])[0], rtol=1e-4, atol=1e-6)
    assert net.predict_maps([]) == []


def test_padding_to_a_divisor_is_cut_off():
    preprocessor = dict(type='DetDataPreprocessor', mean=[0, 0, 0], std=[1, 1, 1], pad_size_divisor=32)
    net = small_net(data_preprocessor=preprocessor)
    image = picture(20, 50)
    padded = np.zeros((32, 64, 3), np.uint8)
    padded[:20, :50] = image
    np.testing.assert_allclose(net.predict_maps([image])[0], net.predict_maps([padded])[0][:, :20, :50], atol=1e-6)


def test_images_are_seen_at_the_view_size():
    """As if resized beforehand; the output, before the softmax, is interpolated to the image's size."""
    image = picture(30, 50)
    whole = small_net('regression', view_size=(64, 32)).predict_maps([image])[0]
    seen = small_net('regression').predict_maps([cv2.resize(image, (64, 32), interpolation=cv2.INTER_LINEAR)])[0]
    assert whole.shape == (30, 50)
    assert np.corrcoef(whole.ravel(), cv2.resize(seen, (50, 30)).ravel())[0, 1] > 0.98
    net, plain = small_net(view_size=(50, 30)), small_net()
    np.testing.assert_array_equal(net.predict_maps([image])[0], plain.predict_maps([image])[0])


@pytest.mark.parametrize(
    'image, message',
    [
        (np.zeros((4, 4), np.uint8), r'image 1 is uint8 of shape \(4, 4\)'),
        (np.zeros((4, 4, 3), np.float32), 'image 1 is float32'),
        (np.zeros((0, 4, 3), np.uint8), 'image 1 is uint8'),
        (torch.zeros(4, 4, 3), 'image 1 is Tensor'),
    ],
)
def test_images_of_another_kind_are_refused(image, message):
    with pytest.raises(ValueError, match=message):
        small_net().predict_maps([picture(4, 4), image])


BOXES = [[(2, 2, 22, 30), (4, 4, 7, 7)], []]


def prepared(net, training=True):
    """Two images of different sizes, the second without objects: 32x40 and 24x36 px, padded to one batch."""
    samples = [sample_of((32, 40), BOXES[0], [(30, 0, 40, 10)]), sample_of((24, 36), BOXES[1])]
    data = dict(inputs=inputs_of(picture(32, 40), picture(24, 36)), data_samples=samples)
    return net.data_preprocessor(data, training)


def expected_labels():
    labels = np.zeros((2, 32, 40), np.int64)
    labels[0, 2:30, 2:22] = 3  # sqrt(20 * 28) = 23.7
    labels[0, 4:7, 4:7] = 1
    labels[0, :10, 30:] = 255
    labels[1, 24:] = labels[1, :, 36:] = 255  # padding
    return torch.from_numpy(labels)


def test_loss_of_a_batch():
    net = small_net()
    data = prepared(net)
    losses = net(**data, mode='loss')
    labels = expected_labels()
    with torch.no_grad():
        logits = net(data['inputs'])
        expected = softmax_focal_loss(logits, labels, 2.0).sum() / (labels != 255).sum()
        shown, best = labels[:, ::4, ::4], logits[..., ::4, ::4].argmax(dim=1)
    assert losses['loss_scale'].item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses['accuracy'].item() == pytest.approx((best == shown)[shown != 255].float().mean().item())
    objects = (shown != 255) & (shown != 0)
    assert losses['object_accuracy'].item() == pytest.approx((best == shown)[objects].float().mean().item())


def test_regression_loss_of_a_batch():
    net = small_net('regression')
    data = prepared(net)
    labels = expected_labels().numpy()
    truth = np.select([labels == 3, labels == 1], [math.sqrt(20 * 28) / 8, 3 / 8], 0)
    with torch.no_grad():
        raw = net(data['inputs'])[:, 0].numpy()
    expected = np.mean((raw - truth)[labels != 255] ** 2)
    losses = net(**data, mode='loss')
    assert list(losses) == ['loss_scale'] and losses['loss_scale'].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('head', HEADS)
@pytest.mark.parametrize('boxes, ignored', [([], []), ([], [(0, 0, 40, 32)])])
def test_nothing_to_find_and_nothing_known(head, boxes, ignored):
    net = small_net(head)
    inputs = net.data_preprocessor(dict(inputs=inputs_of(picture(32, 40)), data_samples=None))['inputs']
    loss = net.loss(inputs, [sample_of((32, 40), boxes, ignored)])['loss_scale']
    loss.backward()
    assert torch.isfinite(loss) and (loss.item() == 0) == bool(ignored)
    assert all(torch.isfinite(p.grad).all() for p in net.parameters() if p.grad is not None)


@pytest.mark.parametrize('head', HEADS)
def test_it_learns_a_picture(head):
    """Three squares of another colour and scale each: after a few steps every pixel is nearly right."""
    net = small_net(head)
    image, boxes = np.zeros((64, 64, 3), np.uint8), [(4, 4, 7, 7), (16, 8, 28, 20), (30, 30, 62, 62)]
    for (x1, y1, x2, y2), color in zip(boxes, [(255, 0, 0), (0, 255, 0), (0, 0, 255)]):
        image[y1:y2, x1:x2] = color
    data = net.data_preprocessor(dict(inputs=inputs_of(image), data_samples=[sample_of((64, 64), boxes)]), True)
    optimizer = torch.optim.Adam(net.parameters(), 0.01)
    first = net(**data, mode='loss')['loss_scale'].item()
    for _ in range(40):
        optimizer.zero_grad()
        loss = net(**data, mode='loss')['loss_scale']
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1 * first


@pytest.mark.parametrize('head', HEADS)
def test_predict_adds_a_map_of_each_image_and_leaves_the_rest(head):
    net = small_net(head).eval()
    data = prepared(net, training=False)
    with torch.no_grad():
        found = net(**data, mode='predict')
        whole = net.head.maps(net(data['inputs']))
    assert all('pred_scale_map' not in sample for sample in data['data_samples'])
    for i, (sample, (h, w)) in enumerate(zip(found, [(32, 40), (24, 36)])):
        maps = sample.pred_scale_map.maps
        torch.testing.assert_close(maps if head == 'classes' else maps[0], whole[i, ..., :h, :w])
        assert sample.pred_scale_map.measure == 'sqrt_box'
        assert sample.pred_scale_map.scale_classes == net.head.scale_classes
        assert sample.pred_scale_map.unit == (8.0 if head == 'regression' else None)
        assert len(sample.gt_instances) == len(BOXES[i])


@pytest.mark.parametrize(
    'changes, message',
    [
        (dict(view_size=(512,)), r'view_size must be a width and a height in pixels, got \(512,\)'),
        (dict(view_size=(0, 5)), 'view_size'),
        (dict(batch_size=0), 'batch_size must be at least 1, got 0'),
        (dict(head=dict(HEADS['regression'], unit=0)), 'unit must be a number of pixels > 0, got 0'),
        (dict(head=dict(HEADS['classes'], bounds=(4, 4))), r'ascend, got \(4, 4\)'),
        (dict(head=dict(HEADS['classes'], measure='area')), 'measure must be one of'),
        (dict(decoder=dict(type='UNetDecoder', in_channels=(8, 8, 8), channels=(8,))), 'joins 3 feature maps in 2'),
    ],
)
def test_invalid_options(changes, message):
    with pytest.raises(ValueError, match=message):
        small_net(**changes)


def test_decoder_joins_features_and_goes_on_beyond_them():
    decoder = MODELS.build(dict(type='UNetDecoder', in_channels=(3, 5), channels=(4, 6, 7)))
    assert [step[0].conv.in_channels for step in decoder.steps] == [5 + 3, 4, 6] and decoder.out_channels == 7
    features = torch.randn(2, 3, 9, 12), torch.randn(2, 5, 5, 6)
    # From 9x12 to 18x24, then to the image's 35x47 and not to 36x48.
    assert decoder(features, (35, 47)).shape == (2, 7, 35, 47)
    with pytest.raises(ValueError, match='joins 2 feature maps, got 1'):
        decoder(features[:1], (35, 47))
    alone = MODELS.build(dict(type='UNetDecoder', in_channels=(3,), channels=()))
    assert alone([features[0]], (35, 47)) is features[0]


def test_decoder_step_by_step():
    """One step with features against plain torch, without normalisation."""
    decoder = MODELS.build(dict(type='UNetDecoder', in_channels=(2, 3), channels=(4,), norm_cfg=None))
    fine, coarse = torch.randn(1, 2, 6, 8), torch.randn(1, 3, 3, 4)
    up = functional.interpolate(coarse, (6, 8), mode='bilinear', align_corners=False)
    x = torch.cat([up, fine], dim=1)
    for conv in (decoder.steps[0][0].conv, decoder.steps[0][1].conv):
        x = functional.conv2d(x, conv.weight, conv.bias, padding=1).relu()
    torch.testing.assert_close(decoder((fine, coarse), (6, 8)), x)
