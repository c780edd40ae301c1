"""Keypoints of real heads from several views, flipped ones too, in both ways of testing; masks beside them."""

import numpy as np
import pytest
import torch
from mask_views import CHIPS, SHAPE, FixedChips, data_of, run, views_of, whole

from mmisn.models.detectors import ChipDetector
from mmisn.models.test_time_augs import ScaleRangeTTAModel
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

FLIPS = [0, 2, 1]
OUTPUT_SIZES = {'OffsetKeypointHead': (22, 16), 'KeypointRCNNHead': 14}
PLAIN = dict(nms=None, max_per_img=10**6, view_test_cfg=None)


def build(head, masks):
    cfg = (tiny_mask_rcnn_cfg if masks else tiny_faster_rcnn_cfg)(1)
    extractor = dict(type='SingleRoIExtractor', out_channels=16, featmap_strides=[4, 8, 16, 32])
    extractor['roi_layer'] = dict(type='RoIAlign', output_size=OUTPUT_SIZES[head], sampling_ratio=0)
    cfg.roi_head.update(
        type='KeypointRoIHead',
        # Each box has keypoints of its own, as they are computed by hand.
        share_iou=None,
        keypoint_roi_extractor=extractor,
        keypoint_head=dict(type=head, num_keypoints=3, num_convs=1, in_channels=16, conv_out_channels=16),
    )
    return build_tiny_detector(cfg)


@pytest.fixture(scope='module', params=[(h, m) for h in OUTPUT_SIZES for m in (False, True)], ids=str)
def detector(request):
    return build(*request.param)


@pytest.fixture(scope='module')
def image():
    return np.random.default_rng(0).integers(0, 256, (*SHAPE, 3), dtype=np.uint8)


def run_both(detector, image, *chips, **options):
    """As ``mask_views`` does it, with the partners of keypoints in the meta information."""
    one, views = data_of(image), views_of(image, chips)
    for sample in (*one['data_samples'], *(s for samples in views['data_samples'] for s in samples)):
        sample.set_metainfo(dict(flip_indices=FLIPS))
    chip_detector = ChipDetector(detector, FixedChips(*chips), **options).eval()
    first = run(chip_detector, one)
    return first, run(ScaleRangeTTAModel(detector, **options), views)


def by_hand(detector, data, boxes_view, chip):
    """Keypoints of boxes, straight from the parts of the detector, and back to the image by hand."""
    with torch.no_grad():
        features = detector.extract_feat(detector.data_preprocessor(data, False)['inputs'])
        rois = torch.cat([boxes_view.new_zeros(len(boxes_view), 1), boxes_view], dim=1)
        head = detector.roi_head
        points, scores = head.keypoint_head.decode(head._keypoint_forward(features, rois), boxes_view)
    if chip.flip:
        points[..., 0] = chip.size_wh[0] - points[..., 0]
        points, scores = points[:, FLIPS], scores[:, FLIPS]
    return points / torch.tensor(chip.factors) + torch.tensor(chip.xyxy[:2]), scores


@pytest.mark.parametrize('options', [dict(nms=dict(type='nms', iou_threshold=0.6)), dict(scale_range=(16, 64))])
def test_each_detection_has_the_keypoints_of_its_view(detector, image, options):
    first, second = run_both(detector, image, *CHIPS, **options)
    for name in (
        'bboxes',
        'scores',
        'labels',
        'keypoints',
        'keypoint_scores',
        *(['masks'] if 'masks' in first else []),
    ):
        assert torch.equal(first[name], second[name])
    assert ('masks' in first) == detector.with_mask
    data = views_of(image, CHIPS)
    seen = set()
    for view, chip in enumerate(CHIPS):
        rows = torch.nonzero(first.view_ids == view).squeeze(1)
        boxes_view = chip.boxes_to_view(first.bboxes[rows])
        points, scores = by_hand(detector, {k: v[view] for k, v in data.items()}, boxes_view, chip)
        seen.update([chip.flip] * len(rows))
        # A box that was divided by the factor and multiplied again is not quite the same: the best cell may be another.
        off = (points - first.keypoints[rows]).abs().amax(dim=-1) > 0.02
        assert off.sum() <= 0.02 * off.numel() + 1
        torch.testing.assert_close(first.keypoint_scores[rows][~off], scores[~off], rtol=1e-3, atol=1e-4)
    assert seen == {False, True} and len(first) > 20


def test_a_flipped_view_is_the_mirrored_image(detector, image):
    """One view, nothing merged: what the detector finds in the mirrored image, mirrored, left called right."""
    expected = run(detector, data_of(np.ascontiguousarray(image[:, ::-1])))
    points = expected.keypoints[:, FLIPS]
    points[..., 0] = SHAPE[1] - points[..., 0]
    for merged in run_both(detector, image, whole(flip=True), **PLAIN):
        assert len(merged) > 5 and torch.equal(merged.scores, expected.scores)
        torch.testing.assert_close(merged.keypoints, points, rtol=0, atol=1e-4)
        assert torch.equal(merged.keypoint_scores, expected.keypoint_scores[:, FLIPS])


def test_masks_are_those_of_the_detector_without_keypoints(image):
    """Box and mask head have the same weights; the keypoint head beside them changes nothing."""
    with_keypoints = build('OffsetKeypointHead', masks=True)
    without = build_tiny_detector(tiny_mask_rcnn_cfg(1))
    without.load_state_dict({k: v for k, v in with_keypoints.state_dict().items() if 'keypoint' not in k})
    for found, expected in zip(run_both(with_keypoints, image, *CHIPS), run_both(without, image, *CHIPS)):
        assert expected.masks.sum() > 1000
        for name in ('bboxes', 'scores', 'masks'):
            assert torch.equal(found[name], expected[name])
