"""Views side by side on canvases: where they lie, what is painted, and that each gets back what is its own."""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.models import DetDataPreprocessor
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData
from torch import nn

from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.view_packing import Canvas, ViewPacking, colour_of_padding, paint, split_detections
from mmisn.structures import Chip, ScaleRange
from mmisn.testing.detectors import tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

SIZES = st.tuples(st.integers(1, 80), st.integers(1, 80))


@given(st.lists(SIZES, max_size=14), st.integers(10, 90), st.integers(1, 9), st.sampled_from([1, 500, 10**6]))
def test_views_lie_apart_and_within(sizes, side, gap, overhead):
    canvases = ViewPacking(side, gap, overhead).pack(sizes)
    assert sorted(i for canvas in canvases for i, _, _ in canvas.places) == list(range(len(sizes)))
    for canvas in canvases:
        taken = np.zeros(canvas.size_wh[::-1], int)
        for i, left, top in canvas.places:
            assert left % gap == top % gap == 0
            w, h = sizes[i]
            assert left + w <= canvas.size_wh[0] and top + h <= canvas.size_wh[1]
            # With its gap at the right and below, no view reaches another.
            taken[top : top + h + gap, left : left + w + gap] += 1
        for i, left, top in canvas.places:
            assert taken[top : top + sizes[i][1], left : left + sizes[i][0]].max() == 1
        ends = [(left + sizes[i][0], top + sizes[i][1]) for i, left, top in canvas.places]
        assert canvas.size_wh == (max(x for x, _ in ends), max(y for _, y in ends))
        assert max(canvas.size_wh) <= side or (len(canvas.places) == 1 and max(sizes[canvas.places[0][0]]) > side)


def test_shelves_by_hand():
    """The highest first; 64 px from 80 on, where the next multiple of 16 after a gap is."""
    sizes = [(64, 64), (96, 128), (64, 64), (600, 20)]
    canvases = ViewPacking(512, 16, overhead=1).pack(sizes)
    assert canvases[0] == Canvas((600, 20), ((3, 0, 0),))
    # Beside each other they take 256x128 px, one beside the large one 176x208, below each other 96x288: the fewest.
    assert canvases[1] == Canvas((96, 288), ((1, 0, 0), (0, 0, 144), (2, 0, 224)))


def test_fewer_canvases_for_a_few_pixels_more():
    sizes = [(160, 160)] * 12
    found = {overhead: ViewPacking(512, 16, overhead).pack(sizes) for overhead in (1, 65536)}
    assert {k: (len(v), sum(c.num_pixels for c in v)) for k, v in found.items()} == {
        1: (4, 4 * 160 * 512),
        65536: (2, 2 * 336 * 512),
    }


def test_painted_and_parted():
    canvas = Canvas((20, 10), ((1, 0, 0), (0, 12, 4)))
    views = [np.full((10, 8, 3), 7, np.uint8), np.full((6, 8, 3), 9, np.uint8)]
    image = paint(canvas, views, (1, 2, 3))
    expected = np.tile(np.array((1, 2, 3), np.uint8), (10, 20, 1))
    expected[:, :8], expected[4:, 12:] = 7, 9
    np.testing.assert_array_equal(image, expected)
    found = InstanceData(
        # In the first view, reaching beyond it; between the views; in the second one, whose first pixel is (12, 4).
        bboxes=torch.tensor([[2.0, 1, 11, 5], [9, 0, 11, 4], [11, 4, 20, 11], [12, 4, 12, 4]]),
        scores=torch.tensor([0.1, 0.2, 0.3, 0.4]),
        keypoints=torch.tensor([[[1.0, 2]], [[1, 2]], [[13, 6]], [[12, 4]]]),
    )
    first, second = split_detections(canvas, found, [(8, 10), (8, 6)])
    assert first.bboxes.tolist() == [[2, 1, 8, 5]] and first.keypoints.tolist() == [[[1, 2]]]
    assert second.bboxes.tolist() == [[0, 0, 8, 6], [0, 0, 0, 0]] and second.keypoints.tolist() == [[[1, 2]], [[0, 0]]]
    np.testing.assert_allclose(second.scores, [0.3, 0.4])
    assert found.bboxes[0].tolist() == [2, 1, 11, 5]


@pytest.mark.parametrize('bgr_to_rgb', [False, True])
def test_colour_between_views_is_that_of_padding(bgr_to_rgb):
    mean, std = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
    preprocessor = DetDataPreprocessor(mean, std, bgr_to_rgb=bgr_to_rgb, pad_size_divisor=32, pad_value=0.5)
    image = np.broadcast_to(colour_of_padding(preprocessor), (16, 32, 3))
    sample = DetDataSample(metainfo=dict(img_shape=(16, 32)))
    batch = preprocessor(dict(inputs=[torch.from_numpy(image.transpose(2, 0, 1).copy())], data_samples=[sample]))
    painted, padded = batch['inputs'][0, :, :16], batch['inputs'][0, :, 16:]
    assert (padded == 0.5).all() and (painted - padded).abs().max() <= 0.5 / 57
    assert colour_of_padding(DetDataPreprocessor()).tolist() == [0, 0, 0]


class BlobDetector(nn.Module):
    """Finds blobs of equal green and red in a black image, class by the value, on whatever canvas they are."""

    def __init__(self):
        super().__init__()
        self.data_preprocessor = DetDataPreprocessor()
        self.seen = []

    def test_step(self, data):
        results = []
        for image, sample in zip(data['inputs'], data['data_samples']):
            self.seen.append((tuple(image.shape[1:]), sample.scale_range))
            plane = image[1].numpy()
            boxes, scores, labels = [], [], []
            for label, value in enumerate((100, 200)):
                inked = (abs(plane.astype(int) - value) < 20).astype(np.uint8)
                for x, y, w, h, area in cv2.connectedComponentsWithStats(inked)[2][1:]:
                    boxes.append([x, y, x + w, y + h])
                    scores.append(area / 10000)
                    labels.append(label)
            bboxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
            fx, fy = sample.scale_factor
            instances = InstanceData(
                bboxes=bboxes / bboxes.new_tensor([fx, fy, fx, fy]),
                scores=torch.tensor(scores),
                labels=torch.tensor(labels, dtype=torch.long),
                keypoints=bboxes[:, None, :2] / bboxes.new_tensor([fx, fy]),
                keypoint_scores=torch.ones(len(boxes), 1),
            )
            results.append(DetDataSample(pred_instances=instances))
        return results


class Views:
    """A view of the whole at half its size, and windows at one, two and three times theirs, one of them flipped."""

    def views(self, image_wh, predict=None):
        windows = [((0, 0, 60, 40), 1), ((20, 30, 90, 90), 2), ((64, 0, 120, 64), 2), ((32, 32, 64, 64), 3)]
        chips = [Chip((x1, y1, x2, y2), ((x2 - x1) * f, (y2 - y1) * f)) for (x1, y1, x2, y2), f in windows]
        return [Chip.full(image_wh, (image_wh[0] // 2, image_wh[1] // 2)), chips[0].flipped(True), *chips[1:]]


# Views of 60x45, 60x40, 140x120, 112x128 and 96x96 px.
@pytest.mark.parametrize(('side', 'calls'), [(100, 4), (200, 3), (512, 1)])
def test_detections_are_those_of_views_alone(side, calls, monkeypatch):
    image = np.zeros((90, 120, 3), np.uint8)
    for x1, y1, x2, y2, value in (
        (4, 6, 14, 20, 100),
        (40, 36, 58, 52, 200),
        (70, 40, 110, 60, 100),
        (62, 2, 66, 9, 200),
    ):
        image[y1:y2, x1:x2] = value
    sample = DetDataSample(metainfo=dict(img_id=0, img_path='a.jpg', ori_shape=(90, 120), img_shape=(90, 120)))
    data = dict(inputs=[torch.from_numpy(image.transpose(2, 0, 1).copy())], data_samples=[sample])
    results, detectors = [], []
    for packing in (None, dict(side=side, gap=8)):
        detector = BlobDetector()
        monkeypatch.setattr('mmisn.models.detectors.chip_detector.open_test_cfg', lambda *args: None)
        options = dict(nms=None, interpolation='nearest', packing=packing, scale_range=ScaleRange(2, 60))
        model = ChipDetector(detector, Views(), **options).eval()
        model.dataset_meta = dict(flip_indices=[0])
        (result,) = model.test_step(data)
        results.append(result)
        detectors.append(detector)
    alone, packed = results
    assert len(alone.pred_instances) >= 8
    fields = ('bboxes', 'scores', 'labels', 'keypoints', 'view_ids')
    for field in fields:
        torch.testing.assert_close(packed.pred_instances[field], alone.pred_instances[field])
    # Fewer calls, whose pixels are those that are reported.
    assert (len(detectors[1].seen), len(detectors[0].seen)) == (calls, 5)
    assert packed.view_pixels == sum(h * w for (h, w), _ in detectors[1].seen)
    assert alone.view_pixels == sum(chip.num_pixels for chip in alone.chips)
    assert packed.chips == alone.chips
    assert {scale_range for _, scale_range in detectors[1].seen} == {(2, 60)}


def test_views_of_different_ranges_share_no_canvas(monkeypatch):
    monkeypatch.setattr('mmisn.models.detectors.chip_detector.open_test_cfg', lambda *args: None)
    detector = BlobDetector()
    ranges = [ScaleRange(0, 10), ScaleRange(2, 60)]
    model = ChipDetector(detector, Views(), [ranges[i] for i in (0, 1, 0, 1, 1)], packing=dict(side=512)).eval()
    model.dataset_meta = dict(flip_indices=[0])
    sample = DetDataSample(metainfo=dict(img_id=0, ori_shape=(90, 120), img_shape=(90, 120)))
    model.test_step(dict(inputs=[torch.zeros(3, 90, 120, dtype=torch.uint8)], data_samples=[sample]))
    assert sorted(scale_range for _, scale_range in detector.seen) == [(0, 10), (2, 60)]


def test_masks_are_not_packed():
    with pytest.raises(ValueError, match='is for boxes and keypoints; leave it out for a detector with masks'):
        ChipDetector(tiny_mask_rcnn_cfg(), Views(), packing=dict(side=64))


@pytest.mark.parametrize(
    ('packing', 'message'),
    [
        (dict(side=0), 'packing.side must be a whole number of pixels above 0, got 0'),
        (dict(overhead=0), 'packing.overhead must be a whole number of pixels above 0, got 0'),
        (dict(gap=1.5), 'packing.gap must be a whole number of pixels above 0, got 1.5'),
        (dict(side=16, gap=16), r'packing.gap \(16\) must be below packing.side \(16\)'),
        (dict(size=9), r"unknown keys \['size'\] in packing; it has side, gap and overhead"),
    ],
)
def test_bad_arguments(packing, message):
    with pytest.raises(ValueError, match=message):
        ChipDetector(tiny_faster_rcnn_cfg(), Views(), packing=packing)
