"""Keypoints in annotated boxes: OKS against pycocotools, and annotations that a tiny detector itself has made."""

import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools.cocoeval import COCOeval

from mmisn.evaluation.keypoint_diagnosis import (
    TrueBoxKeypoints,
    diagnose_keypoints,
    keypoints_in_boxes,
    object_keypoint_similarity,
    octave_means,
)
from mmisn.structures import Chip, crop_resample
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg

SIGMAS = (0.03, 0.05, 0.08)
BOXES = np.array([[8.0, 6.0, 40.0, 70.0], [50.0, 20.0, 66.0, 36.0]])
OFFSET = 0.5


def keypoint_cfg():
    """Config of a tiny detector of one class with the light keypoint head."""
    cfg = tiny_faster_rcnn_cfg(1)
    cfg.roi_head.type = 'KeypointRoIHead'
    cfg.roi_head.keypoint_roi_extractor = dict(
        type='SingleRoIExtractor',
        roi_layer=dict(type='RoIAlign', output_size=(22, 16), sampling_ratio=0),
        out_channels=16,
        featmap_strides=[4, 8, 16, 32],
    )
    head = dict(type='OffsetKeypointHead', num_convs=2, in_channels=16, conv_out_channels=32, num_keypoints=3)
    cfg.roi_head.keypoint_head = head
    return cfg


def test_oks_is_that_of_pycocotools(scenes):
    rng = np.random.default_rng(0)
    truth = np.concatenate([rng.uniform(0, 90, (6, 3, 2)), rng.integers(0, 3, (6, 3, 1))], axis=-1)
    truth[:, 0, 2] = 2
    predicted = truth[..., :2] + rng.normal(0, 4, (6, 3, 2))
    areas = rng.uniform(50, 4000, 6)
    gts = [
        dict(id=i + 1, image_id=1, category_id=3, bbox=[0, 0, 9, 9], area=a, iscrowd=0, keypoints=k.ravel().tolist())
        for i, (a, k) in enumerate(zip(areas, truth))
    ]
    for annotation, k in zip(gts, truth):
        annotation['num_keypoints'] = int((k[:, 2] > 0).sum())
    scored = np.concatenate([predicted, np.ones((6, 3, 1))], axis=-1)
    found = [
        dict(gts[0], id=i + 1, keypoints=k.ravel().tolist(), score=1 - i / 10, num_keypoints=3)
        for i, k in enumerate(scored)
    ]
    evaluator = COCOeval(scenes.build_coco([1], gts), scenes.build_coco([1], found), 'keypoints')
    evaluator.params.kpt_oks_sigmas = np.array(SIGMAS)
    evaluator._prepare()
    ours = object_keypoint_similarity(predicted, truth, areas, SIGMAS)
    np.testing.assert_allclose(ours, evaluator.computeOks(1, 3).diagonal(), rtol=1e-12)
    assert ours.min() > 0.05 and ours.max() < 1


@pytest.fixture(scope='module')
def detector():
    return build_tiny_detector(keypoint_cfg(), spread=3.0).eval()


@pytest.fixture(scope='module')
def pixels():
    return np.random.default_rng(1).integers(0, 255, (96, 80, 3), np.uint8)


@pytest.mark.parametrize('factor', [1.0, 2.0, 0.5])
def test_keypoints_are_those_of_the_detector_in_the_view(detector, pixels, factor):
    view = crop_resample(pixels, Chip.full((80, 96), (int(80 * factor), int(96 * factor))))
    inputs = torch.from_numpy(view.transpose(2, 0, 1).copy())
    with torch.no_grad():
        features = detector.extract_feat(detector.data_preprocessor(dict(inputs=[inputs]))['inputs'])
        boxes = torch.tensor(BOXES * factor, dtype=torch.float32)
        found = InstanceData(bboxes=boxes, scores=torch.ones(2), labels=torch.zeros(2, dtype=torch.long))
        detector.roi_head.predict_keypoint(features, [dict(scale_factor=(factor, factor))], [found])
    np.testing.assert_allclose(
        keypoints_in_boxes(detector, pixels, BOXES, factor), found.keypoints.numpy() / factor, atol=1e-4
    )


@pytest.fixture
def files(detector, pixels, tmp_path):
    """Config and checkpoint, and annotations that are the detector's own keypoints at factor 2 in the same boxes."""
    keypoints = keypoints_in_boxes(detector, pixels, BOXES, 2.0) - OFFSET
    triples = np.concatenate([keypoints, np.full((2, 3, 1), 2.0)], axis=-1).reshape(2, 9)
    boxes = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in BOXES.tolist()]
    shared = dict(image_id=4, category_id=1, iscrowd=0)
    annotations = [
        dict(shared, id=i + 1, bbox=box, area=box[2] * box[3], keypoints=t.tolist(), num_keypoints=3)
        for i, (box, t) in enumerate(zip(boxes, triples))
    ]
    # None of these has keypoints to compare with.
    annotations.append(dict(annotations[0], id=8, iscrowd=1))
    annotations.append(dict(annotations[0], id=9, keypoints=[0] * 9, num_keypoints=0))
    annotations.append(dict(annotations[0], id=10, ignore=1))
    names = ['a', 'b', 'c']
    truth = dict(
        images=[dict(id=i, file_name='a.png', width=80, height=96) for i in (4, 5)],
        annotations=annotations,
        categories=[dict(id=1, name='person', keypoints=names, skeleton=[[1, 2]])],
    )
    (tmp_path / 'truth.json').write_text(json.dumps(truth))
    cv2.imwrite(str(tmp_path / 'a.png'), pixels)
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'w.pth')
    dataset = dict(
        type='CocoKeypointDataset',
        metainfo=dict(classes=('person',), sigmas=SIGMAS, flip_pairs=()),
        data_root=str(tmp_path),
        ann_file='truth.json',
        data_prefix=dict(img=''),
        keypoint_offset=OFFSET,
        test_mode=True,
    )
    cfg = dict(default_scope='mmdet', model=keypoint_cfg(), test_dataloader=dict(dataset=dataset))
    return Config(cfg), tmp_path / 'w.pth'


def test_annotations_of_its_own(files):
    found = diagnose_keypoints(*files, factors=[1.0, 2.0])
    np.testing.assert_allclose(found.scales, [np.sqrt(32 * 64), 16])
    np.testing.assert_allclose(found.oks[:, 1], 1, atol=1e-6)
    assert (found.oks[:, 0] < 0.99).any() and found.factors == (1.0, 2.0)


def test_what_cannot_be_diagnosed(files):
    cfg, checkpoint = files
    with pytest.raises(ValueError, match='FasterRCNN has no KeypointRoIHead'):
        diagnose_keypoints(Config(dict(cfg, model=tiny_faster_rcnn_cfg(1))), checkpoint, [1.0])
    weights = torch.load(checkpoint, weights_only=True)['state_dict']
    torch.save({k: v for k, v in weights.items() if 'keypoint_head' not in k}, checkpoint)
    with pytest.raises(RuntimeError, match='lacks .* weights of FasterRCNN'):
        diagnose_keypoints(cfg, checkpoint, [1.0])


def test_table_by_octave():
    scales = np.array([6.4, 12.7, 12.8, 40.0])
    oks = np.array([[0.1, 0.2], [0.3, 0.6], [0.5, 0.7], [1.0, 0.0]])
    header, rows = octave_means(TrueBoxKeypoints((0.5, 1.667), scales, oks), 6.4)
    assert header == ['scale, px', 'objects', 'x0.5', 'x1.667']
    assert rows == [
        ['6.4-12.8', '2', '0.200', '0.400'],
        ['12.8-25.6', '1', '0.500', '0.700'],
        ['25.6-51.2', '1', '1.000', '0.000'],
        ['all', '4', '0.475', '0.375'],
    ]
