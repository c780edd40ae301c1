"""Proposals in proportion to the pixels of a view."""

import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.view_proposals import ViewProposals
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_retinanet_cfg

FACTORS = [2.0, 1.0, 0.5]


def test_number_of_proposals():
    limit = ViewProposals(1000, at_least=50)
    assert [limit.number(n) for n in (1, 50_000, 50_600, 137_000, 2_000_000)] == [50, 50, 51, 137, 2000]
    assert ViewProposals(0.5, at_least=1).number(100) == 1


@pytest.fixture
def detector_and_counts():
    """A detector, and the sizes of views with the number of proposals that its second stage got of each."""
    detector = build_tiny_detector(tiny_faster_rcnn_cfg())
    detector.rpn_head.test_cfg.update(max_per_img=400, nms_pre=2000, nms=dict(type='nms', iou_threshold=0.99))
    counts = []
    predict = detector.roi_head.predict

    def counting(x, proposals, samples, rescale=False):
        counts.extend((*s.img_shape, len(p)) for s, p in zip(samples, proposals))
        return predict(x, proposals, samples, rescale=rescale)

    detector.roi_head.predict = counting
    return detector, counts


def run(detector, **options):
    model = ChipDetector(detector, PyramidChips(FACTORS), **options).eval()
    image = np.random.default_rng(0).integers(0, 256, (3, 128, 192), dtype=np.uint8)
    sample = DetDataSample(metainfo=dict(img_id=0, ori_shape=(128, 192), img_shape=(128, 192)))
    with torch.no_grad():
        (result,) = model.test_step(dict(inputs=[torch.from_numpy(image)], data_samples=[sample]))
    return result.pred_instances


@pytest.mark.parametrize('value', [3000, dict(per_mpx=3000), ViewProposals(3000)])
def test_views_keep_their_share(detector_and_counts, value):
    detector, counts = detector_and_counts
    run(detector)
    unlimited = {(h, w): n for h, w, n in counts}
    assert list(unlimited) == [(256, 384), (128, 192), (64, 96)] and min(unlimited.values()) > 80
    counts.clear()
    run(detector, view_proposals=value)
    # 98,304, 24,576 and 6,144 px.
    assert counts == [(256, 384, min(295, unlimited[256, 384])), (128, 192, 74), (64, 96, 50)]
    # The detector itself is as before.
    assert detector.rpn_head.test_cfg.max_per_img == 400


def test_never_more_than_the_detector_keeps(detector_and_counts):
    detector, counts = detector_and_counts
    expected = run(detector)
    wanted = list(counts)
    counts.clear()
    found = run(detector, view_proposals=1e9)
    assert counts == wanted
    assert torch.equal(found.bboxes, expected.bboxes) and torch.equal(found.scores, expected.scores)


def test_restored_after_an_error(detector_and_counts):
    detector, _ = detector_and_counts

    def fail(*args, **kwargs):
        raise RuntimeError('out of memory')

    detector.roi_head.predict = fail
    with pytest.raises(RuntimeError, match='out of memory'):
        run(detector, view_proposals=100)
    assert detector.rpn_head.test_cfg.max_per_img == 400


@pytest.mark.parametrize(
    'value, message',
    [
        (0, 'view_proposals.per_mpx must be above 0, got 0'),
        (dict(per_mpx=10, at_least=0), 'view_proposals.at_least must be above 0, got 0'),
        (dict(at_least=3), r"has per_mpx and, optionally, at_least, got \['at_least'\]"),
        (dict(per_mpx=10, most=3), r"has per_mpx and, optionally, at_least, got \['most', 'per_mpx'\]"),
    ],
)
def test_bad_values(value, message):
    with pytest.raises(ValueError, match=message):
        ChipDetector(tiny_faster_rcnn_cfg(), PyramidChips(FACTORS), view_proposals=value)


def test_one_stage_detectors_have_none():
    with pytest.raises(ValueError, match='view_proposals=100 has nothing to limit: RetinaNet has no rpn_head'):
        ChipDetector(tiny_retinanet_cfg(), PyramidChips(FACTORS), view_proposals=100)
