"""``benchmark sahi``: what is compared, and what is refused. SAHI itself is no dependency and is not run here."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmisn.testing.benchmarks import sahi_slices
from mmisn.testing.benchmarks.windows import WindowsDetector
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark.py'
CLASSES = ('ship', 'car', 'bird')
BOXES = ([4, 4, 8, 8], [20, 10, 30, 30])


@pytest.fixture
def comparison(tmp_path):
    """A detector behind a grid, and two pictures with a small and a large ship each, whose category id is 7."""
    model = dict(type='ChipDetector', detector=tiny_faster_rcnn_cfg(), generator=dict(type='GridChips', cells=(2, 2)))
    dataset = dict(
        type='CocoDataset',
        metainfo=dict(classes=CLASSES),
        data_root=str(tmp_path),
        ann_file='truth.json',
        data_prefix=dict(img='in/'),
    )
    config = Config(dict(default_scope='mmdet', model=model, test_dataloader=dict(dataset=dataset)))
    config.dump(str(tmp_path / 'grid.py'))
    torch.save(dict(state_dict=build_tiny_detector(tiny_faster_rcnn_cfg()).state_dict()), tmp_path / 'd.pth')
    (tmp_path / 'in').mkdir()
    images = [dict(id=i, file_name=f'{i}.png', width=64, height=48) for i in (3, 5)]
    for i, image in enumerate(images):
        cv2.imwrite(str(tmp_path / 'in' / image['file_name']), np.full((48, 64, 3), 40 * i, np.uint8))
    annotations = [
        dict(id=10 * i['id'] + n, image_id=i['id'], category_id=7, bbox=box, area=box[2] * box[3], iscrowd=0)
        for i in images
        for n, box in enumerate(BOXES)
    ]
    categories = [dict(id=7, name='ship'), dict(id=8, name='car'), dict(id=9, name='bird')]
    truth = dict(images=images, annotations=annotations, categories=categories)
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    ours = WindowsDetector(str(tmp_path / 'grid.py'), str(tmp_path / 'd.pth'), None, None)
    return sahi_slices.SahiComparison(ours, 'inner.py', small=16)


def test_ap_by_size_and_seconds(comparison, monkeypatch):
    now, seen = [0.0], []

    def way(name, boxes, seconds):
        def detect(pixels):
            seen.append((name, int(pixels[0, 0, 0])))
            now[0] += seconds
            return [dict(category_id=7, bbox=list(box), score=0.9) for box in boxes]

        return lambda *args: detect

    monkeypatch.setattr(sahi_slices.time, 'perf_counter', lambda: now[0])
    monkeypatch.setattr(sahi_slices, 'our_way', way('ours', BOXES, 0.5))
    monkeypatch.setattr(sahi_slices, 'sahi_way', way('sahi', BOXES[1:], 2.0))
    every, small, seconds = sahi_slices.sahi_rows(comparison)
    # The first picture once more, before the clock starts.
    assert seen == [(name, grey) for grey in (0, 0, 40) for name in ('ours', 'sahi')]
    # Of two equally confident detections per picture SAHI's way has the large one: half of the recall, at precision 1.
    assert every.ours == '100.0' and every.yardstick.endswith('overlap 0.2, 50.5')
    assert (
        small.ours == '100.0' and small.yardstick.endswith('0.2, 0.0') and 'below 16 px: grid, 2 pictures' in small.what
    )
    assert seconds.ratio == 0.25 and seconds.ours == '0.500 s' and seconds.target.is_met(seconds.ratio)


def test_our_way_is_the_detector(comparison):
    model = comparison.ours.build()
    model.detector.test_cfg.rcnn.score_thr = 0.0
    records = sahi_slices.our_way(model, [7, 8, 9])(np.full((48, 64, 3), 90, np.uint8))
    assert records and {r['category_id'] for r in records} <= {7, 8, 9}
    assert all(r['bbox'][0] >= 0 and r['bbox'][0] + r['bbox'][2] <= 64 for r in records)


def test_without_sahi_there_is_one_clear_error(comparison, monkeypatch):
    monkeypatch.setattr(sahi_slices.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(ValueError, match='the comparison with SAHI needs it: pip install sahi'):
        sahi_slices.jobs(comparison)


def test_arguments(capsys):
    spec = importlib.util.spec_from_file_location('benchmark_of_sahi', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    for argv in (['sahi'], ['sahi', '--detector', 'c', 'p'], ['merging', '--sahi', 'inner.py']):
        with pytest.raises(SystemExit):
            tool.parse_args(argv)
        assert 'sahi needs both --detector CONFIG CHECKPOINT and --sahi CONFIG' in capsys.readouterr().err
    with pytest.raises(SystemExit):
        tool.parse_args(['merging', '--detector', 'c', 'p'])
    assert '--detector is for windows' in capsys.readouterr().err
    assert tool.parse_args(['all', '--detector', 'c', 'p', '--sahi', 'i']).sections[-1] == 'sahi'
