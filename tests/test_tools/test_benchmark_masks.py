"""The measurement of masks: what each way does, and that peaks and scores are what they are said to be."""

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.wrap import detect_image
from mmisn.testing.benchmarks import CocoFolder, masks
from mmisn.testing.detectors import build_tiny_detector, tiny_mask_rcnn_cfg

needs_proc = pytest.mark.skipif(not Path('/proc/self/clear_refs').exists(), reason='no /proc')


def test_rows():
    ours, mmdet = dict(seconds=9.0, peak_mb=300.0), dict(seconds=10.0, peak_mb=1000.0)
    seconds, memory = masks.rows_of('tiles', ours, mmdet)
    assert seconds.cells()[1:] == ['9.0 s', 'mmdet at each factor, 10.0 s', '0.9 x the time', 'at most 1: met']
    assert memory.cells()[1:4] == ['300 MB', 'mmdet at each factor, 1000 MB', '0.3 x the memory']
    assert memory.target.is_met(1 / 3) and not memory.target.is_met(0.34)
    assert 'max_pixels=' in memory.what
    assert 'max_pixels=' not in masks.rows_of('whole', ours, mmdet)[1].what


def test_ways_take_turns_and_their_best_counts(monkeypatch):
    runs = []

    def in_process(way, weights, picture):
        assert weights.is_file() and picture == Path('p.jpg')
        runs.append(way)
        later = len(runs) > 3
        return dict(seconds=dict(mmdet=8.0, whole=4.0, tiles=6.0)[way] - later, peak_mb=100.0 + 10 * later)

    monkeypatch.setattr(masks, '_in_process', in_process)
    monkeypatch.setattr(masks, 'find_picture', lambda folder: Path('p.jpg'))
    monkeypatch.setattr(masks, 'detector_like_trained', lambda pixels: torch.nn.Linear(1, 1))
    rows = masks.mask_rows(None, 10)
    assert runs == ['mmdet', 'whole', 'tiles'] * 2
    assert [row.ratio for row in rows] == [3 / 7, 1, 5 / 7, 1]


def test_the_picture_has_the_usual_size(tmp_path, coco_folder):
    box = [5, 5, 60, 60]
    folder = coco_folder([(500, 375), (480, 640), (640, 480), (640, 480)], [(i, 0, box, {}) for i in range(4)])
    data = CocoFolder(folder, 'annotations.json', 'toy')
    kinds = data.dataset_cfg() | dict(metainfo=dict(classes=('ship',)))
    toy = type('Toy', (), dict(dataset_cfg=lambda self: kinds))()
    assert masks.find_picture(toy).name == '000002.png'
    folder = coco_folder([(500, 375), (480, 640)], [(i, 0, box, {}) for i in range(2)])
    assert masks.find_picture(toy).name == '000000.png'


def test_scores_of_the_detector(monkeypatch):
    monkeypatch.setattr(masks, 'build_detector', lambda: build_tiny_detector(tiny_mask_rcnn_cfg()))
    monkeypatch.setattr(masks, 'CANDIDATES', 6)
    pixels = cv2.blur(np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8), (5, 5))
    model = masks.detector_like_trained(pixels)
    logits = []
    model.roi_head.bbox_head.fc_cls.register_forward_hook(lambda module, inputs, output: logits.append(output))
    found = masks.detect_with_mmdet(model, pixels, (1.0, 0.5, 0.25))
    logits = torch.cat(logits).detach()
    assert (logits.softmax(dim=1)[:, :-1] > 0.05).sum().item() == pytest.approx(3 * 6, abs=1)
    assert logits.std(dim=0).mean() == pytest.approx(2, rel=1e-4)
    assert all(f.masks.shape[1:] == (120, 160) for f in found) and sum(map(len, found)) > 0


def test_ways_are_what_they_are_called():
    model = build_tiny_detector(tiny_mask_rcnn_cfg())
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    plain = masks._function_of('mmdet', model, pixels)()
    assert len(plain) == 5
    one = masks.detect_with_mmdet(model, pixels, (2.0,))[0]
    assert torch.equal(one.bboxes, plain[1].bboxes) and torch.equal(one.masks, plain[1].masks)
    merged = masks._function_of('whole', model, pixels)().pred_instances
    by_hand = ChipDetector(build_tiny_detector(tiny_mask_rcnn_cfg()), PyramidChips(masks.FACTORS)).eval()
    expected = detect_image(by_hand, pixels).pred_instances
    assert torch.equal(merged.masks, expected.masks) and len(merged) == 100


def test_tiles_are_of_the_two_largest_views():
    views = PyramidChips(masks.FACTORS, max_pixels=masks.MAX_PIXELS, overlap=masks.OVERLAP).views(masks.IMAGE_WH)
    of_factor = {f: [v for v in views if round(v.factors[0], 1) == round(f, 1)] for f in masks.FACTORS}
    assert [len(of_factor[f]) for f in masks.FACTORS] == [6, 2, 1, 1, 1]
    assert sum(v.num_pixels for v in views) / (640 * 480) < 1.08 * sum(f**2 for f in masks.FACTORS)
    assert max(v.num_pixels for v in views) == 896 * 992


@needs_proc
def test_peak_memory_is_that_above_the_detector(monkeypatch):
    monkeypatch.setattr(masks, 'build_detector', lambda: torch.nn.Linear(1, 1))
    monkeypatch.setattr(masks.torch, 'load', lambda *args, **kwargs: torch.nn.Linear(1, 1).state_dict())

    def run():
        ones = np.ones(100 * 2**20, np.uint8)  # 100 MB, gone at the end
        assert ones[-1] == 1

    before = torch.get_num_threads()
    monkeypatch.setattr(masks, '_function_of', lambda way, model, pixels: run)
    try:
        held = np.ones(50 * 2**20, np.uint8)  # not counted
        first, second = (masks.measure('tiles', 'w.pth', 'p.jpg') for _ in range(2))
    finally:
        torch.set_num_threads(before)
    assert len(held) and 95 < first['peak_mb'] < 120 and 95 < second['peak_mb'] < 120
    assert 0 < first['seconds'] < 5


def test_an_error_of_a_process_is_told(tmp_path, monkeypatch):
    def run(command, **kwargs):
        assert command[-4:] == ['mmisn.testing.benchmarks.masks', 'tiles', 'w.pth', 'p.jpg']
        return subprocess.CompletedProcess(command, returncode, 'a line\n{"seconds": 1.5}\n', 'Killed')

    monkeypatch.setattr(masks.subprocess, 'run', run)
    returncode = 0
    assert masks._in_process('tiles', Path('w.pth'), Path('p.jpg')) == dict(seconds=1.5)
    returncode = 137
    with pytest.raises(RuntimeError, match='measuring masks, tiles: Killed'):
        masks._in_process('tiles', Path('w.pth'), Path('p.jpg'))
