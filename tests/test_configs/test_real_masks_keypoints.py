"""Real persons with keypoints and real masks: a short training on chips, then the pyramid and the metric."""

import contextlib
import io

import numpy as np
import pytest
import torch
from config_files import load
from mmdet.registry import DATASETS, METRICS, MODELS
from mmengine.config import ConfigDict
from mmengine.dataset import pseudo_collate
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.testing.real_data import real_data_root

KINDS = {
    'keypoints': ('keypoint/isn-offset-keypoint-rcnn_r18-small_fpn_1xb8_scenes-person.py', 'person_keypoints'),
    'segm': ('isn/isn-mask-rcnn_r18-small_fpn_1xb8_scenes.py', 'instances'),
}
IOU_THRS = [0.02, 0.1]
STEPS = 8


def real_cfg(kind, prefix):
    file, annotations = KINDS[kind]
    cfg, root = load(file), real_data_root() / 'coco_mini'
    # What is trained on is tested on: so few steps teach nothing of other pictures.
    ann_file = f'annotations/{annotations}_train.json'
    for dataset in (cfg.train_dataloader.dataset.dataset, cfg.test_dataloader.dataset):
        dataset.update(data_root=str(root), ann_file=ann_file, data_prefix=dict(img='images/'))
        if kind == 'segm':
            dataset.pop('metainfo')
    cfg.train_dataloader.dataset.update(cache_dir='', num_procs=1)
    if kind == 'segm':
        cfg.model.roi_head.bbox_head.num_classes = cfg.model.roi_head.mask_head.num_classes = 80
    cfg.test_evaluator.update(ann_file=str(root / ann_file), iou_thrs=IOU_THRS, outfile_prefix=prefix)
    # The two coarse levels of the pyramid; the others are many times as large.
    levels = cfg.tta_pipeline[1].transforms
    levels[0] = [view for view in levels[0] if view.generator.factors[0] in (1, 0.5)]
    return cfg


def train(cfg):
    """A model after a few steps on the same chips, the loss of each step and the images of the chips."""
    torch.manual_seed(0)
    np.random.seed(0)
    model = MODELS.build(cfg.model).train()
    model.init_weights()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    dataset = DATASETS.build(cfg.train_dataloader.dataset)
    chips = [dataset[i] for i in range(len(dataset)) if dataset.plan.level[i] in (2, 3)][:3]
    logs = []
    for _ in range(STEPS):
        data = model.data_preprocessor(pseudo_collate(chips), True)
        loss, log = model.parse_losses(model.loss(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        logs.append({k: float(v) for k, v in log.items()})
    return model.eval(), logs, sorted({chip['data_samples'].img_id for chip in chips})


def by_pycocotools(ann_file, results, kind, img_ids):
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(ann_file)
        evaluation = COCOeval(coco, coco.loadRes(results), kind)
        evaluation.params.iouThrs, evaluation.params.imgIds = np.array(IOU_THRS), img_ids
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


@pytest.mark.skipif(real_data_root() is None, reason='no coco_mini')
@pytest.mark.parametrize('kind', KINDS)
def test_train_and_test(kind, tmp_path):
    cfg = real_cfg(kind, str(tmp_path / 'results'))
    model, logs, img_ids = train(cfg)
    name = {'keypoints': 'loss_keypoint', 'segm': 'loss_mask'}[kind]
    of_head = [sum(v for k, v in log.items() if k.startswith(name)) for log in logs]
    assert all(np.isfinite(list(log.values())).all() for log in logs)
    assert of_head[-1] < 0.95 * of_head[0] and logs[-1]['loss'] < 0.8 * logs[0]['loss']

    model = MODELS.build(ConfigDict(**cfg.tta_model, module=model))
    dataset = DATASETS.build(dict(cfg.test_dataloader.dataset, pipeline=cfg.tta_pipeline))
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta, metric.img_ids = dataset.metainfo, img_ids
    tested = [i for i in range(len(dataset)) if dataset.get_data_info(i)['img_id'] in img_ids]
    assert len(tested) == len(img_ids)
    with torch.no_grad():
        for index in tested:
            (result,) = model.test_step(pseudo_collate([dataset[index]]))
            assert result.num_views == 2
            metric.process({}, [result.to_dict()])
    with contextlib.redirect_stdout(io.StringIO()):
        numbers = metric.evaluate(len(tested))
    for which in ('bbox', kind):
        expected = by_pycocotools(cfg.test_evaluator.ann_file, str(tmp_path / f'results.{which}.json'), which, img_ids)
        assert numbers[f'coco/{which}_mAP'] == round(expected, 3)
        assert expected > 0
