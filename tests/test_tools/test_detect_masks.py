"""``detect`` with masks: what it writes and draws, and how to leave them out."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.wrap import wrap_in_chip_detector
from mmisn.testing.detectors import build_tiny_detector, tiny_mask_rcnn_cfg

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'detect.py'
CLASSES = ('ship', 'car', 'bird')


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('detect', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'pictures').mkdir()
    for i, name in enumerate(('a.png', 'c.png')):
        pixels = np.random.default_rng(i).integers(0, 256, (60 + 8 * i, 90, 3), np.uint8)
        cv2.imwrite(str(tmp_path / 'pictures' / name), pixels)
    return tmp_path / 'pictures'


def test_masks_are_written_and_drawn(tool, folder, tmp_path):
    cfg = tiny_mask_rcnn_cfg()
    model, config, checkpoint = (
        build_tiny_detector(cfg),
        Config(dict(default_scope='mmdet', model=cfg)),
        tmp_path / 'm.pth',
    )
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(CLASSES=CLASSES))), checkpoint)
    out = tmp_path / 'out'
    tool.detect_folder(config, checkpoint, folder, out, device='cpu', levels=[2.0], score_thr=0.5)
    pixels = cv2.imread(str(folder / 'c.png'))
    detector = ChipDetector(model, PyramidChips([2.0])).eval()
    detector.dataset_meta = dict(classes=CLASSES)
    expected = tool.detect_image(detector, pixels).pred_instances
    boxes, segments = (json.loads((out / f'results{kind}.json').read_text()) for kind in ('', '.segm'))
    assert [{k: r[k] for k in ('image_id', 'category_id', 'score')} for r in boxes] == [
        {k: v for k, v in r.items() if k != 'segmentation'} for r in segments
    ]
    masks = np.stack([mask_utils.decode(r['segmentation']) for r in segments if r['image_id'] == 1])
    assert masks.sum() > 100 and np.array_equal(masks, expected.masks.numpy())
    loaded = COCO(str(out / 'images.json')).loadRes(str(out / 'results.segm.json'))
    assert [a['area'] for a in loaded.loadAnns(loaded.getAnnIds(imgIds=[1]))] == masks.sum(axis=(1, 2)).tolist()
    with_masks = cv2.imread(str(out / 'pictures' / 'c.png'))
    bare = tmp_path / 'bare'
    tool.detect_folder(config, checkpoint, folder, bare, device='cpu', levels=[2.0], masks=False, score_thr=0.5)
    without = cv2.imread(str(bare / 'pictures' / 'c.png'))
    assert with_masks.shape == without.shape and (with_masks != without).any()
    assert not (bare / 'results.segm.json').exists()


def test_averages_of_views_if_asked(tool, folder, tmp_path):
    cfg = tiny_mask_rcnn_cfg()
    model, checkpoint = build_tiny_detector(cfg), tmp_path / 'm.pth'
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=dict(CLASSES=CLASSES))), checkpoint)
    Config(dict(default_scope='mmdet', model=cfg)).dump(tmp_path / 'c.py')
    args = [str(tmp_path / 'c.py'), str(checkpoint), str(folder), '--factors', '1', '2', '--no-pictures']
    found = {}
    for average in (False, True):
        out = tmp_path / f'out{average}'
        tool.main([*args, '--device', 'cpu', '--out', str(out), *['--average-masks'] * average])
        detector = ChipDetector(model, PyramidChips([1.0, 2.0]), average_masks=average).eval()
        detector.dataset_meta = dict(classes=CLASSES)
        expected = tool.detect_image(detector, cv2.imread(str(folder / 'a.png'))).pred_instances.masks.numpy()
        segments = [r for r in json.loads((out / 'results.segm.json').read_text()) if r['image_id'] == 0]
        found[average] = np.stack([mask_utils.decode(r['segmentation']) for r in segments])
        assert found[average].sum() > 100 and np.array_equal(found[average], expected)
    boxes = [json.loads((tmp_path / f'out{average}' / 'results.json').read_text()) for average in (False, True)]
    assert boxes[0] == boxes[1] and (found[True] != found[False]).any()


def test_mask_head_is_left_out_if_asked():
    cfg = tiny_mask_rcnn_cfg()
    whole = Config(dict(model=cfg, data_preprocessor=dict(type='X')))
    wrapped, notes = wrap_in_chip_detector(whole, masks=False)
    assert wrapped.detector.roi_head.mask_head is None and cfg.roi_head.mask_head is not None
    assert wrapped.detector.data_preprocessor == cfg.data_preprocessor  # the model's own goes first
    assert notes[1] == 'the mask head is left out, boxes alone are detected'
    wrapped, notes = wrap_in_chip_detector(whole)
    assert wrapped.detector.roi_head.mask_head == cfg.roi_head.mask_head and len(notes) == 1
    with pytest.raises(ValueError, match="is a ChipDetector already, {'masks': False} has no effect"):
        wrap_in_chip_detector(Config(dict(model=wrapped)), masks=False)
