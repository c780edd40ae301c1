"""Masks of merged detections: those of the plain detector, of mirrored ones, and of the right view."""

import numpy as np
import pytest
import torch
from mask_views import (
    CHIPS,
    SHAPE,
    FixedChips,
    cascade_cfg,
    data_of,
    run,
    run_both,
    shipped_c4_cfg,
    shipped_fpn_cfg,
    views_of,
    whole,
)
from mmdet.models.roi_heads.mask_heads.fcn_mask_head import _do_paste_mask

from mmisn.models.detectors import ChipDetector
from mmisn.structures import ViewFilter
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

PLAIN = dict(nms=None, view_test_cfg=None)


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


@pytest.fixture
def detector():
    return build_tiny_detector(tiny_mask_rcnn_cfg())


@pytest.mark.parametrize('cfg', [tiny_mask_rcnn_cfg, cascade_cfg])
@pytest.mark.parametrize('class_agnostic', [False, True])
def test_one_view_is_the_plain_detector(image, cfg, class_agnostic):
    cfg = cfg()
    heads = cfg.roi_head.mask_head
    for head in heads if isinstance(heads, list) else [heads]:
        head.class_agnostic = class_agnostic
    _assert_one_view_is_the_plain_detector(build_tiny_detector(cfg), image)


@pytest.mark.parametrize(('cfg', 'spread'), [(shipped_fpn_cfg, 30), (shipped_c4_cfg, 1)])
def test_one_view_is_the_plain_detector_that_mmdet_ships(image, cfg, spread):
    # No two scores are the same: ties would be sorted otherwise.
    _assert_one_view_is_the_plain_detector(build_tiny_detector(cfg(), spread=spread), image)


def _assert_one_view_is_the_plain_detector(detector, image):
    expected = run(detector, data_of(image))
    assert len(expected) > 20 and expected.masks.dtype == torch.bool and expected.masks.any(dim=(1, 2)).sum() > 10
    for merged in run_both(detector, image, whole(), **PLAIN):
        for name in ('bboxes', 'scores', 'labels', 'masks'):
            assert torch.equal(merged[name], expected[name]), name
    after = run(detector, data_of(image))
    assert torch.equal(after.masks, expected.masks)  # the detector is left as it was


@pytest.mark.parametrize('cfg', [tiny_mask_rcnn_cfg, cascade_cfg])
def test_a_mirrored_view_gives_mirrored_masks(image, cfg):
    detector = build_tiny_detector(cfg())
    mirrored = run(detector, data_of(np.ascontiguousarray(image[:, ::-1])))
    for merged in run_both(detector, image, whole(flip=True), **PLAIN):
        assert torch.equal(merged.scores, mirrored.scores)
        # Places of pixels in a box are rounded differently from the left and from the right.
        differ = (merged.masks != mirrored.masks.flip(-1)).sum()
        assert mirrored.masks.sum() > 300 and differ <= 2
        # A mask that was not mirrored with its box would differ in most places.
        widths = mirrored.masks.any(dim=1).sum(dim=1)
        assert widths.max() > 10


@pytest.mark.parametrize('average', [False, True])
def test_a_mirrored_image_has_mirrored_masks(detector, image, average):
    """Whole views, not flipped and flipped: of the mirrored image they are the same two, the other way round."""
    flipped = np.ascontiguousarray(image[:, ::-1])
    options = dict(average_masks=average)
    plain = run_both(detector, image, whole(), whole(flip=True), **options)
    mirrored = run_both(detector, flipped, whole(flip=True), whole(), **options)
    for a, b in zip(plain, mirrored):
        assert a.view_ids.unique().tolist() == [0, 1] and torch.equal(a.view_ids, b.view_ids)
        assert torch.equal(a.labels, b.labels) and a.masks.sum() > 1000
        torch.testing.assert_close(a.scores, b.scores, rtol=1e-4, atol=1e-5)
        assert (a.masks != b.masks.flip(-1)).sum() <= 0.01 * a.masks.sum()
        assert (a.masks != b.masks).sum() > 0.1 * a.masks.sum()


def _pasted_by_hand(probs, boxes):
    full = torch.zeros(len(probs), *SHAPE)
    if len(probs):
        full = _do_paste_mask(probs[:, None], boxes, *SHAPE, skip_empty=False)[0]
    return full


def _probabilities_by_hand(detector, data, boxes_view, labels):
    """28x28 probabilities of boxes, straight from the detector's parts."""
    with torch.no_grad():
        cast = detector.data_preprocessor(data, False)
        features = detector.extract_feat(cast['inputs'])
        rois = torch.cat([boxes_view.new_zeros(len(boxes_view), 1), boxes_view], dim=1)
        logits = detector.roi_head._mask_forward(features, rois)['mask_preds']
    return logits.sigmoid()[torch.arange(len(labels)), labels]


@pytest.mark.parametrize('scale_range', [None, (16, 64)])
@pytest.mark.parametrize('nms', [dict(type='soft_nms'), dict(type='nms', iou_threshold=0.5)])
def test_each_mask_is_of_the_view_that_found_the_box(detector, image, scale_range, nms):
    """Several views, with and without range, against mask heads run by hand on the survivors of each view."""
    data = views_of(image, CHIPS)
    for merged in run_both(detector, image, *CHIPS, scale_range=scale_range, nms=nms):
        assert len(set(merged.view_ids.tolist())) >= 3 and 'mask_ids' not in merged
        assert merged.masks.shape == (len(merged), *SHAPE) and merged.masks.dtype == torch.bool
        for view, chip in enumerate(CHIPS):
            rows = torch.nonzero(merged.view_ids == view).squeeze(1)
            one = {k: v[view] for k, v in data.items()}
            boxes_view = chip.boxes_to_view(merged.bboxes[rows])
            probs = _probabilities_by_hand(detector, one, boxes_view, merged.labels[rows])
            soft = _pasted_by_hand(probs.flip(-1) if chip.flip else probs, merged.bboxes[rows])
            wrong = (soft >= 0.5) != merged.masks[rows]
            # The box was divided by the factor and multiplied again.
            assert (soft[wrong] - 0.5).abs().max() < 1e-3 if wrong.any() else True
            assert wrong.sum() <= 0.01 * merged.masks[rows].sum() + 1


@pytest.mark.parametrize('scale_range', [None, (16, 64)])
def test_boxes_do_not_depend_on_masks(detector, image, scale_range):
    """Candidates without a mask suppress like any other. A mask head divides boxes, a box head multiplies them."""
    bare = build_tiny_detector(tiny_faster_rcnn_cfg())
    bare.load_state_dict(detector.state_dict(), strict=False)
    for merged, expected in zip(
        run_both(detector, image, *CHIPS, scale_range=scale_range),
        run_both(bare, image, *CHIPS, scale_range=scale_range),
    ):
        assert torch.equal(merged.labels, expected.labels) and torch.equal(merged.view_ids, expected.view_ids)
        torch.testing.assert_close(merged.scores, expected.scores, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(merged.bboxes, expected.bboxes, rtol=1e-5, atol=1e-4)


def test_nothing_found(detector, image):
    for merged in run_both(detector, image, whole(), whole(2), scale_range=(4000, 5000)):
        assert merged.masks.shape == (0, *SHAPE) and merged.masks.dtype == torch.bool
    none = ChipDetector(detector, FixedChips()).eval()
    assert run(none, data_of(image)).masks.shape == (0, *SHAPE)


def test_soft_masks(image):
    """A negative threshold asks mmdet for probabilities in 255ths."""
    cfg = tiny_mask_rcnn_cfg()
    cfg.test_cfg.rcnn.mask_thr_binary = -1
    detector = build_tiny_detector(cfg)
    expected = run(detector, data_of(image))
    for merged in run_both(detector, image, whole(), **PLAIN):
        assert merged.masks.dtype == torch.uint8 and torch.equal(merged.masks, expected.masks)


def test_averages(detector, image):
    """Only views that may report a box take part."""
    views = whole(2), whole()
    apart = dict(view_filter=[ViewFilter(classes=(0,)), ViewFilter(classes=(1, 2))])
    for kwargs, same in ((apart, True), ({}, False)):
        plain = run_both(detector, image, *views, **kwargs)
        averaged = run_both(detector, image, *views, average_masks=True, **kwargs)
        for a, b in zip(plain, averaged):
            assert len(a) > 20 and torch.equal(a.bboxes, b.bboxes)
            assert torch.equal(a.masks, b.masks) == same
