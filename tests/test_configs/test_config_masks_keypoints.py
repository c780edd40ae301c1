"""Masks and keypoints: steps on the config's own batches, then the views of a picture, merged (Tables 8 and 9)."""

import numpy as np
import pytest
import torch
from config_files import load, of
from mmdet.registry import DATASETS, METRICS, MODELS, VISUALIZERS
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate

from mmisn.datasets.scenes import SceneConfig, make_scenes

MASKS = ['baselines/mask-rcnn_r18-small_fpn_1xb4-ms_scenes.py', 'isn/isn-mask-rcnn_r18-small_fpn_1xb8_scenes.py']
KEYPOINTS = [
    'keypoint/offset-keypoint-rcnn_r18-small_fpn_1xb4-ms_scenes-person.py',
    'keypoint/isn-offset-keypoint-rcnn_r18-small_fpn_1xb8_scenes-person.py',
]
OWN_HEAD = 'keypoint/keypoint-rcnn_r50-small_fpn_1xb4-ms_scenes-person.py'


@of(person='-person')
def test_pictures_show_keypoints_of_either_head(file):
    """0.2 of the visualizer is far above what one of 56x56 cells gets."""
    cfg = load(file)
    head = cfg.model.get('detector', cfg.model).roi_head.keypoint_head.type
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name=file))
    assert visualizer.keypoint_score_thr == {'OffsetKeypointHead': 0.2, 'KeypointRCNNHead': 0.05}[head]


@pytest.fixture(scope='module')
def scenes(tmp_path_factory):
    folders = {}
    for name, classes in (('scenes', None), ('scenes-person', ('person',))):
        folders[name] = tmp_path_factory.mktemp(name)
        make_scenes(folders[name], 4, 1, SceneConfig.small(**(dict(classes=classes) if classes else {})))
    return folders


def on_scenes(file, scenes):
    cfg = load(file)
    root = f'{scenes["scenes-person" if "person" in file else "scenes"]}/'
    for loader in (cfg.train_dataloader, cfg.test_dataloader):
        inner = loader.dataset.get('dataset', loader.dataset)
        inner.data_root = root
    if cfg.train_dataloader.dataset.type == 'ChipDataset':
        cfg.train_dataloader.dataset.update(cache_dir='', num_procs=1)
    cfg.test_evaluator.ann_file = f'{root}annotations/instances_val.json'
    return cfg


def trained(cfg):
    """A model after two steps, and the losses of the second."""
    torch.manual_seed(0)
    np.random.seed(0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    for first in (0, 2):
        data = model.data_preprocessor(pseudo_collate([dataset[first + i] for i in range(2)]), True)
        loss, log = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    without = [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert without == []
    return model, log


def detect(cfg, model, tta):
    """The result of the test picture, of all views or of one, and the numbers of the config's own metric."""
    if tta:
        model = MODELS.build(ConfigDict(**cfg.tta_model, module=model))
        cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = dataset.metainfo
    with torch.no_grad():
        (result,) = model.eval().test_step(pseudo_collate([dataset[0]]))
    metric.process({}, [result.to_dict()])
    return result, metric.evaluate(1)


@pytest.mark.parametrize('file', MASKS)
def test_masks(file, scenes):
    cfg = on_scenes(file, scenes)
    model, log = trained(cfg)
    assert log['loss_mask'] > 0 and all(value.isfinite() for value in log.values())
    result, numbers = detect(cfg, model, tta=True)
    found = result.pred_instances
    assert len(found) > 0 and found.masks.shape == (len(found), 192, 256)
    assert result.num_views == (5 if 'isn' in file else 9)
    assert {'coco/bbox_mAP', 'coco/segm_mAP', 'coco/segm_AR_0_12.8'} <= set(numbers)


@pytest.mark.parametrize('file, tta', [*((file, True) for file in KEYPOINTS), (OWN_HEAD, False)])
def test_keypoints(file, tta, scenes):
    cfg = on_scenes(file, scenes)
    model, log = trained(cfg)
    of_keypoints = [name for name in log if name.startswith('loss_keypoint')]
    assert of_keypoints and all(log[name] > 0 for name in of_keypoints)
    assert all(value.isfinite() for value in log.values())
    result, numbers = detect(cfg, model, tta)
    found = result.pred_instances
    assert len(found) > 0 and found.keypoints.shape == (len(found), 17, 2) and found.keypoints.isfinite().all()
    assert found.keypoint_scores.shape == (len(found), 17)
    assert {'coco/bbox_mAP', 'coco/keypoints_mAP', 'coco/keypoints_AP50_12.8_inf'} <= set(numbers)
