"""``detect`` with keypoints: what its pictures show."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg
from mmisn.visualization import KeypointVisualizer, draw_picture
from mmisn.visualization.keypoint_visualizer import LIMB_COLORS

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'detect.py'
META = dict(CLASSES=('person',), palette=[(200, 20, 60)], skeleton_links=[[0, 1], [0, 2]], flip_indices=[0, 2, 1])
GREY = 90


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('detect', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize('side', [100, 700])
def test_keypoints_and_limbs_are_enlarged_with_the_picture(tmp_path, side):
    """100 px are enlarged six times, 700 px are drawn as they are."""
    points = np.array([[0.25, 0.25], [0.25, 0.75], [0.75, 0.25]]) * side
    found = InstanceData(
        bboxes=torch.tensor([[0.9, 0.9, 0.95, 0.95]]) * side,
        scores=torch.tensor([0.8]),
        labels=torch.zeros(1).long(),
        keypoints=torch.tensor(points[None]).float(),
        keypoint_scores=torch.tensor([[0.9, 0.9, 0.9]]),
    )
    visualizer = KeypointVisualizer(name=f'{side} px')
    visualizer.dataset_meta = dict(classes=('person',), skeleton_links=META['skeleton_links'])
    pixels = np.full((side, side, 3), GREY, np.uint8)
    draw_picture(visualizer, pixels, DetDataSample(pred_instances=found), 0.3, tmp_path / 'p.png')
    drawn = cv2.imread(str(tmp_path / 'p.png'))[..., ::-1].astype(int)
    assert drawn.shape[:2] == ((600, 600) if side == 100 else (700, 700))
    at = (points * len(drawn) / side).astype(int)
    middles = [(at[0] + at[i]) // 2 for i in (1, 2)]
    expected = [
        *((p, (255, 255, 255)) for p in at),
        *zip(middles, LIMB_COLORS),
        (at[1:].mean(0).astype(int), [GREY] * 3),
    ]
    for (x, y), color in expected:
        assert np.abs(drawn[y, x] - color).max() < 40
    assert torch.equal(found.keypoints, torch.tensor(points[None]).float())


def keypoint_cfg():
    cfg = tiny_faster_rcnn_cfg(1)
    cfg.roi_head.update(
        type='KeypointRoIHead',
        keypoint_roi_extractor=dict(
            type='SingleRoIExtractor',
            roi_layer=dict(type='RoIAlign', output_size=14, sampling_ratio=0),
            out_channels=16,
            featmap_strides=[4, 8, 16, 32],
        ),
        keypoint_head=dict(type='KeypointRCNNHead', num_keypoints=3, num_convs=1, in_channels=16, conv_out_channels=16),
    )
    return cfg


def test_pictures_of_a_folder(tool, tmp_path):
    """As a keypoint detector and as one in a ChipDetector: its keypoints are written and drawn."""
    cfg = keypoint_cfg()
    model = build_tiny_detector(cfg)
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / 'a.png'), np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8))
    generator = dict(type='PyramidChips', factors=[2.0])
    wrapped = dict(type='ChipDetector', detector=cfg, generator=generator)
    bare = {**META, 'skeleton_links': []}
    pictures = {}
    # Scores of this head, one cell of a map, are low in a detector that is not trained. The config's threshold counts,
    # the option more.
    of_config = dict(type='KeypointVisualizer', keypoint_score_thr=1e-6)
    cases = (
        ('plain', cfg, META, of_config, None),
        ('wrapped', wrapped, META, None, 1e-6),
        ('no limbs', wrapped, bare, of_config, None),
        ('nothing', wrapped, META, of_config, 0.9),
        ('default', wrapped, META, None, None),
    )
    for name, whole, meta, visualizer, threshold in cases:
        torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), tmp_path / 'm.pth')
        views = dict(levels=[2.0]) if whole is cfg else {}
        config, out = Config(dict(default_scope='mmdet', model=whole, visualizer=visualizer)), tmp_path / name
        options = dict(device='cpu', score_thr=0.5, keypoint_thr=threshold, **views)
        tool.detect_folder(config, tmp_path / 'm.pth', tmp_path / 'in', out, **options)
        pictures[name] = cv2.imread(str(out / 'pictures' / 'a.png')).astype(int)
    assert np.array_equal(pictures['plain'], pictures['wrapped'])
    assert np.array_equal(pictures['nothing'], pictures['default'])
    assert (pictures['nothing'] != pictures['no limbs']).any()
    found = [r for r in json.loads((tmp_path / 'plain' / 'results.keypoints.json').read_text()) if r['score'] > 0.5]
    assert len(found) > 0
    # Where limbs alone make a difference: along the line from the first keypoint of an object to another.
    changed = (pictures['plain'] != pictures['no limbs']).any(axis=-1)
    near = np.zeros(changed.shape, np.uint8)
    for record in found:
        points = np.array(record['keypoints']).reshape(3, 3)[:, :2] * 7
        for end in (1, 2):
            cv2.line(near, *(tuple(map(int, np.round(points[i]))) for i in (0, end)), 1, 13)
    assert changed.sum() > 50 and not changed[near == 0].any()
