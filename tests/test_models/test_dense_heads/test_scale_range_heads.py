import numpy as np
import pytest
import torch
from mmdet.models.dense_heads import ATSSHead, FCOSHead
from mmdet.registry import MODELS
from mmengine.config import ConfigDict

import mmisn  # noqa: F401
from mmisn.models.dense_heads import ScaleRangeFilterMixin

ANCHORS = dict(type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[8, 16])
ONE_ANCHOR = dict(type='AnchorGenerator', scales=[4], ratios=[1.0], strides=[8, 16])
CFG = ConfigDict(nms_pre=3, max_per_img=20, score_thr=0.0, min_bbox_size=-1, nms=dict(type='nms', iou_threshold=0.6))
IMG_HW = (32, 48)


class RangedATSSHead(ScaleRangeFilterMixin, ATSSHead):
    """What a user writes."""


class RangedFCOSHead(ScaleRangeFilterMixin, FCOSHead):
    """A head with points for priors."""


def rpn(plain=False, cross_entropy=None, **kwargs):
    cross_entropy = dict(type='CrossEntropyLoss', use_sigmoid=True) if cross_entropy is None else cross_entropy
    cfg = dict(
        type='RPNHead' if plain else 'ScaleRangeRPNHead',
        in_channels=2,
        feat_channels=2,
        anchor_generator=ANCHORS,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        loss_cls=cross_entropy,
        test_cfg=CFG,
    )
    return MODELS.build({**cfg, **kwargs}).eval()


def retina(plain=False, **kwargs):
    cfg = dict(
        type='RetinaHead' if plain else 'ScaleRangeRetinaHead',
        num_classes=3,
        in_channels=2,
        feat_channels=2,
        stacked_convs=1,
        anchor_generator=ANCHORS,
        bbox_coder=dict(type='DeltaXYWHBBoxCoder'),
        test_cfg=CFG,
    )
    return MODELS.build({**cfg, **kwargs}).eval()


def atss(plain=False, **kwargs):
    norm = dict(type='BN')
    return (ATSSHead if plain else RangedATSSHead)(
        pred_kernel_size=1,
        num_classes=3,
        in_channels=2,
        feat_channels=2,
        stacked_convs=1,
        norm_cfg=norm,
        anchor_generator=ONE_ANCHOR,
        test_cfg=CFG,
        **kwargs,
    ).eval()


def fcos(plain=False, **kwargs):
    return (FCOSHead if plain else RangedFCOSHead)(
        num_classes=3,
        in_channels=2,
        feat_channels=2,
        stacked_convs=1,
        strides=(8, 16),
        regress_ranges=((-1, 20), (20, 1000)),
        norm_cfg=dict(type='BN'),
        test_cfg=CFG,
        **kwargs,
    ).eval()


HEADS = [rpn, retina, atss, fcos]


def outputs_of(head, batch=2, seed=0, std=0.5):
    """Random maps of scores, boxes and score factors for levels of stride 8 and 16."""
    rng = torch.Generator().manual_seed(seed)
    sizes = [(4, 6), (2, 3)]
    num_priors, channels = head.prior_generator.num_base_priors[0], head.cls_out_channels

    def draw(depth):
        return [torch.randn(batch, depth, *size, generator=rng) for size in sizes]

    scores, boxes = draw(num_priors * channels), [std * b for b in draw(num_priors * 4)]
    if isinstance(head, FCOSHead):
        boxes = [stride * b.exp() for stride, b in zip((8, 16), boxes)]
    factors = draw(num_priors) if isinstance(head, (ATSSHead, FCOSHead)) else None
    return scores, boxes, factors


def metas(*ranges, **kwargs):
    base = dict(img_shape=IMG_HW, scale_factor=(2.0, 0.5), **kwargs)
    return [base if r is None else {**base, 'scale_range': r} for r in ranges]


def predict(head, outputs, img_metas, **kwargs):
    return head.predict_by_feat(*outputs, batch_img_metas=img_metas, **kwargs)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def brute_force(head, outputs, image, scale_range, nms_pre=3, iou_thr=0.6):
    """Decode everything, filter, cut to nms_pre, do NMS: in float64, one candidate at a time."""
    priors = head.prior_generator.grid_priors([(4, 6), (2, 3)], device='cpu')
    is_rpn = not hasattr(head, 'cls_convs')
    candidates = []
    for level, (cls, reg, prior) in enumerate(zip(outputs[0], outputs[1], priors)):
        cls, reg = (m[image].permute(1, 2, 0).double().numpy() for m in (cls, reg))
        cls, reg = cls.reshape(len(prior), -1), reg.reshape(len(prior), 4)
        on_level = []
        for i, box in enumerate(decode(head, prior[i].double().numpy(), reg[i]) for i in range(len(prior))):
            if not scale_range[0] <= np.sqrt((box[2] - box[0]) * (box[3] - box[1])) <= scale_range[1]:
                continue
            factor = 1.0
            if outputs[2] is not None:
                factor = sigmoid(outputs[2][level][image].permute(1, 2, 0).reshape(-1)[i].item())
            for c in range(cls.shape[1]):
                on_level.append((sigmoid(cls[i, c]), factor, level if is_rpn else c, box))
        candidates += sorted(on_level, key=lambda x: -x[0])[:nms_pre]
    kept = []
    for score, factor, group, box in sorted(candidates, key=lambda x: -x[0] * x[1]):
        if all(group != g or iou(box, b) <= iou_thr for _, g, b in kept):
            kept.append((score * factor, group, box))
    return kept


def decode(head, prior, delta):
    if len(prior) == 2:
        box = np.concatenate([prior - delta[:2], prior + delta[2:]])
    else:
        coder = head.bbox_coder
        delta = delta * np.array(coder.stds) + np.array(coder.means)
        wh, center = prior[2:] - prior[:2], (prior[:2] + prior[2:]) / 2
        center, wh = center + wh * delta[:2], wh * np.exp(delta[2:])
        box = np.concatenate([center - wh / 2, center + wh / 2])
    height, width = IMG_HW
    return np.clip(box, 0, [width, height, width, height])


def iou(a, b):
    inter = np.prod(np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0))
    return inter / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - inter + 1e-12)


@pytest.mark.parametrize('build', HEADS)
@pytest.mark.parametrize('training', [False, True])
def test_equals_decode_filter_cut_nms_written_out(build, training):
    head = build().train(training)
    outputs = outputs_of(head)
    ranges = [(14.0, 20.0), (0.0, 15.0)]
    for image, result in enumerate(predict(head, outputs, metas(*ranges))):
        expected = brute_force(head, outputs, image, ranges[image])
        assert len(expected) > 2
        np.testing.assert_allclose(result.scores.numpy(), [e[0] for e in expected], rtol=1e-5)
        np.testing.assert_allclose(result.bboxes.numpy(), [e[2] for e in expected], rtol=1e-4, atol=1e-4)
        if build is not rpn:
            assert result.labels.tolist() == [e[1] for e in expected]


@pytest.mark.parametrize('build', HEADS)
@pytest.mark.parametrize('scale_range', [None, (0, float('inf')), (0, None), (0, 1000)])
def test_without_a_bound_it_is_the_plain_head(build, scale_range):
    head, plain = build(), build(plain=True)
    outputs = outputs_of(head)
    img_metas = metas(scale_range, scale_range)
    for rescale in (False, True):
        got, expected = (predict(h, outputs, img_metas, rescale=rescale) for h in (head, plain))
        for a, b in zip(got, expected):
            assert torch.equal(a.bboxes, b.bboxes) and torch.equal(a.scores, b.scores)
            assert torch.equal(a.labels, b.labels) and len(a) > 0


def zero_outputs(head, sizes=((4, 6), (2, 3))):
    num_priors, channels = head.prior_generator.num_base_priors[0], head.cls_out_channels
    scores = [torch.zeros(1, num_priors * channels, *size) for size in sizes]
    boxes = [torch.zeros(1, num_priors * 4, *size) for size in sizes]
    factors = [torch.zeros(1, num_priors, *size) for size in sizes] if isinstance(head, ATSSHead) else None
    return scores, boxes, factors


@pytest.mark.parametrize('build', [rpn, retina])
def test_high_scores_out_of_range_do_not_crowd_others_out(build):
    # Anchors of 16 and 32 px. Those of 32 px in the middle of the view score best and more than fill nms_pre = 3.
    anchors = dict(type='AnchorGenerator', scales=[2, 4], ratios=[1.0], strides=[8])
    head, plain = build(anchor_generator=anchors), build(plain=True, anchor_generator=anchors)
    outputs = zero_outputs(head, sizes=[(8, 8)])
    channels = head.cls_out_channels
    outputs[0][0][:] = -5.0
    outputs[0][0][:, channels:, 2:7, 2:7] = 5.0
    outputs[0][0][:, channels - 1, 2, 3] = 1.0
    img_metas = [dict(img_shape=(64, 64), scale_range=(10.0, 20.0))]
    assert [16, 8, 32, 24] not in predict(plain, outputs, img_metas)[0].bboxes.tolist()
    result = predict(head, outputs, img_metas)[0]
    assert result.bboxes[0].tolist() == [16, 8, 32, 24]
    assert result.scores[0].item() == pytest.approx(sigmoid(1.0))
    assert result.labels[0].item() == channels - 1


@pytest.mark.parametrize('lower, upper, kept', [(16, 20, True), (10, 16, True), (16.01, 20, False), (10, 15.99, False)])
def test_bounds_belong_to_the_range(lower, upper, kept):
    # The 16 px anchor at (2, 3) lies inside the view and decodes to itself.
    head = rpn(anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[8]))
    outputs = zero_outputs(head, sizes=[(4, 6)])
    outputs[0][0][0, 0, 2, 3] = 1.0
    boxes = predict(head, outputs, metas((lower, upper)))[0].bboxes.tolist()
    assert ([16.0, 8.0, 32.0, 24.0] in boxes) == kept


def test_judged_is_the_box_clipped_to_the_view():
    # The corner anchor is [-8, -8, 8, 8]; clipped to the view it is 8 px wide.
    head = rpn(anchor_generator=dict(type='AnchorGenerator', scales=[2], ratios=[1.0], strides=[8]))
    outputs = zero_outputs(head, sizes=[(4, 6)])
    for scale_range, kept in [((7, 9), True), ((15, 17), False)]:
        boxes = predict(head, outputs, metas(scale_range))[0].bboxes.tolist()
        assert ([0.0, 0.0, 8.0, 8.0] in boxes) == kept


@pytest.mark.parametrize('build', HEADS)
@pytest.mark.parametrize('training', [False, True])
@pytest.mark.parametrize('rescale', [False, True])
def test_nothing_in_range_gives_an_empty_result(build, training, rescale):
    head = build().train(training)
    empty, other = predict(head, outputs_of(head), metas((900, 1000), (0, 20)), rescale=rescale)
    assert (empty.bboxes.shape, empty.scores.shape, empty.labels.shape) == ((0, 4), (0,), (0,))
    assert len(other) > 0


@pytest.mark.parametrize('build', [rpn, retina, atss])
@pytest.mark.parametrize('level, stride', [(0, 8), (1, 16)])
def test_a_level_of_which_one_prior_or_none_is_left(build, level, stride):
    # All boxes are shrunk to nothing but one: mmdet's RPN could not be handed a level of one prior.
    head = build()
    outputs = zero_outputs(head)
    for boxes in outputs[1]:
        boxes[:] = -9.0 / head.bbox_coder.stds[2]
        boxes[:, :2] = 0
        boxes[:, 4:6] = 0
    outputs[1][level][0, :4, 1, 1] = 0
    result = predict(head, outputs, metas((8, 100)))[0]
    side = {rpn: 2, retina: 2, atss: 4}[build] * stride
    # The prior of cell (1, 1) is centered on (stride, stride).
    low, high = stride - side / 2, stride + side / 2
    expected = decode(head, np.array([low, low, high, high]), np.zeros(4))
    assert len(result) == (1 if build is rpn else 3)
    np.testing.assert_allclose(result.bboxes.numpy(), np.tile(expected, (len(result), 1)), atol=1e-4)


def test_range_holds_in_view_pixels_before_rescaling():
    head = retina()
    outputs = outputs_of(head)
    img_metas = metas((14.0, 20.0), (0.0, 15.0))
    for view, original in zip(predict(head, outputs, img_metas), predict(head, outputs, img_metas, rescale=True)):
        assert torch.equal(view.scores, original.scores)
        torch.testing.assert_close(original.bboxes, view.bboxes / torch.tensor([2.0, 0.5, 2.0, 0.5]))


@pytest.mark.parametrize('build', HEADS)
def test_filter_in_test_can_be_switched_off_but_not_in_training(build):
    head, plain = build(filter_in_test=False), build(plain=True)
    outputs = outputs_of(head)
    img_metas = metas((14.0, 15.0), (14.0, 15.0))
    for a, b in zip(predict(head, outputs, img_metas), predict(plain, outputs, img_metas)):
        assert torch.equal(a.bboxes, b.bboxes) and torch.equal(a.scores, b.scores)
    trained = predict(head.train(), outputs, img_metas)
    for image, result in enumerate(trained):
        expected = brute_force(head, outputs, image, (14.0, 15.0))
        np.testing.assert_allclose(result.scores.numpy(), [e[0] for e in expected], rtol=1e-5)


def test_softmax_scores_of_an_rpn():
    head = rpn(cross_entropy=dict(type='CrossEntropyLoss', use_sigmoid=False))
    assert head.cls_out_channels == 2
    outputs = outputs_of(head)
    result = predict(head, outputs, metas((14.0, 20.0), (14.0, 20.0)))[0]
    # With two classes softmax is the sigmoid of the difference.
    binary = [s.reshape(2, 2, 2, *s.shape[2:]) for s in outputs[0]]
    binary = [s[:, :, 0] - s[:, :, 1] for s in binary]
    expected = brute_force(head, (binary, outputs[1], None), 0, (14.0, 20.0))
    np.testing.assert_allclose(result.scores.numpy(), [e[0] for e in expected], rtol=1e-5)
    np.testing.assert_allclose(result.bboxes.numpy(), [e[2] for e in expected], rtol=1e-4, atol=1e-4)


def test_half_precision_does_not_overflow():
    # 512 * 512 is infinite in half precision, and so out of any bounded range.
    head = retina(
        anchor_generator=dict(type='AnchorGenerator', scales=[64], ratios=[1.0], strides=[8], centers=[(300, 300)])
    )
    outputs = [torch.ones(1, 3, 1, 1).half()], [torch.zeros(1, 4, 1, 1).half()], None
    result = predict(head, outputs, [dict(img_shape=(800, 800), scale_range=(16, 560))], with_nms=False)[0]
    assert result.bboxes.tolist() == [[44, 44, 556, 556]] * 3


def test_training_without_a_range_says_what_to_do():
    head = rpn().train()
    with pytest.raises(KeyError, match='PackInstanceInputs'):
        predict(head, outputs_of(head, batch=1), metas(None))


def test_range_in_original_pixels_is_refused():
    head = rpn()
    with pytest.raises(ValueError, match='view pixels'):
        predict(head, outputs_of(head, batch=1), metas(dict(lower=1, upper=9, frame='original')))


def test_filter_in_test_must_be_a_bool():
    with pytest.raises(ValueError, match='filter_in_test'):
        rpn(filter_in_test='yes')
