"""Pictures of no dataset through the configs of keypoints: ``DetInferencer`` and ``inference_detector``."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.registry import DATASETS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from mmisn.testing.detectors import build_tiny_detector

CONFIGS = Path(__file__).resolve().parents[3] / 'configs' / 'keypoint'
NAME = 'isn-offset-keypoint-rcnn_r18-small_fpn_1xb8_scenes-person'
KINDS = {'plain': f'{NAME}.py', 'chip detector': f'{NAME}_chip-detector.py'}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A picture, and random weights as a training saves them."""
    init_default_scope('mmdet')
    path = tmp_path_factory.mktemp('inference')
    cfg = Config.fromfile(CONFIGS / KINDS['plain'])
    meta = DATASETS.build(dict(cfg.test_dataloader.dataset, lazy_init=True)).metainfo
    # What the dataset reads in the annotation file.
    meta.update(
        skeleton_links=[[0, 5], [5, 11], [11, 15]], flip_indices=[0, *np.arange(1, 17).reshape(8, 2)[:, ::-1].flat]
    )
    model = build_tiny_detector(cfg.model)
    torch.save(dict(state_dict=model.state_dict(), meta=dict(dataset_meta=meta)), path / 'weights.pth')
    pixels = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    cv2.imwrite(str(path / 'picture.png'), cv2.resize(pixels, (128, 96)))
    return path


@pytest.fixture(params=KINDS)
def cfg(request):
    made = Config.fromfile(CONFIGS / KINDS[request.param])
    # Random weights are sure of nothing, and find small objects, whose limbs points would cover.
    made.visualizer.update(keypoint_score_thr=0.0, keypoint_radius=0.1, limb_width=1.0, name=request.node.name)
    return made


def test_det_inferencer_finds_and_draws_keypoints(folder, cfg):
    picture = str(folder / 'picture.png')
    inferencer = DetInferencer(cfg, str(folder / 'weights.pth'), device='cpu', show_progress=False)
    (sample,) = inferencer(picture, return_datasamples=True)['predictions']
    found = sample.pred_instances
    assert len(found) > 1
    assert found.keypoints.shape == (len(found), 17, 2) and found.keypoint_scores.shape == (len(found), 17)
    assert found.keypoints.isfinite().all() and found.keypoints.flatten(1).std(dim=1).min() > 0
    # Nothing but the limbs tells these pictures apart.
    threshold = float(found.scores[min(20, len(found) - 1)])
    drawn = {}
    links = inferencer.model.dataset_meta['skeleton_links']
    for shown in (links, []):
        inferencer.visualizer.dataset_meta = dict(inferencer.model.dataset_meta, skeleton_links=shown)
        result = inferencer(picture, return_vis=True, no_save_vis=True, pred_score_thr=threshold)
        drawn[len(shown)] = result['visualization'][0].astype(int)
    changed = (drawn[3] != drawn[0]).any(axis=-1)
    near = np.zeros(changed.shape, np.uint8)
    for points in found.keypoints[found.scores > threshold].round().int().tolist():
        for a, b in links:
            cv2.line(near, points[a], points[b], 1, 7)
    assert changed.sum() > 20 and not changed[near == 0].any()


def test_inference_detector_takes_files_and_arrays(folder, cfg):
    picture, weights = str(folder / 'picture.png'), str(folder / 'weights.pth')
    # Both change the config that they are given.
    model = init_detector(copy.deepcopy(cfg), weights, device='cpu')
    found = [inference_detector(model, given).pred_instances for given in (picture, cv2.imread(picture))]
    inferencer = DetInferencer(cfg, weights, device='cpu', show_progress=False)
    (expected,) = inferencer(picture, return_datasamples=True)['predictions']
    assert len(expected.pred_instances) > 1
    for instances in found:
        assert torch.equal(instances.keypoints, expected.pred_instances.keypoints)
