"""What the README tells people to write and run."""

import json
import math
import re
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / 'README.md').read_text()


def test_config_for_own_data(coco_folder, tmp_path):
    """The config of the README, its path and folder replaced, in at most 15 lines, plans chips of a user's data."""
    (text,) = re.findall(r'```python\n(_base_.*?)```', README, re.DOTALL)
    assert len([line for line in text.splitlines() if line.strip()]) <= 15
    folder = coco_folder([(100, 80)], [(0, 0, [10, 10, 30, 30], {})])
    for split in ('train', 'val'):
        (folder / f'{split}.json').write_text((folder / 'annotations.json').read_text())
        (folder / split).symlink_to(folder / 'images')
    text = text.replace("'configs/", f"'{ROOT}/configs/").replace("'data/mine/'", f"'{folder}/'")
    text = text.replace("('car', 'bus', 'bicycle')", "('ship', 'car', 'bird')")
    (tmp_path / 'my_config.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'my_config.py')

    from mmdet.registry import DATASETS, METRICS, MODELS

    cfg.model.backbone.init_cfg = None
    assert MODELS.build(cfg.model).roi_head.bbox_head.num_classes == 3
    dataset = DATASETS.build({**cfg.train_dataloader.dataset, 'cache_dir': ''})
    # In range at factors 4, 2 and 1.
    assert sorted(dataset.plan.level) == [0, 1, 2]
    assert dataset[0]['data_samples'].gt_instances.labels.tolist() == [0]
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert len(DATASETS.build(loader.dataset)) == 1
    assert METRICS.build(cfg.test_evaluator).scale_ranges


def test_config_for_a_custom_skeleton(coco_folder, tmp_path):
    """The config of the keypoints' README: its skeleton reaches training, testing and the metric."""
    page = (ROOT / 'configs' / 'keypoint' / 'README.md').read_text()
    (text,) = re.findall(r'```python\n(_base_.*?)```', page, re.DOTALL)
    points = [20, 25, 2, 15, 15, 2, 30, 15, 1, 0, 0, 0]
    folder = coco_folder([(100, 80)], [(0, 2, [10, 10, 30, 30], dict(keypoints=points, num_keypoints=3))])
    content = json.loads((folder / 'annotations.json').read_text())
    content['categories'][2]['name'] = 'mouse'
    for split in ('train', 'val'):
        (folder / f'{split}.json').write_text(json.dumps(content))
        (folder / split).symlink_to(folder / 'images')
    text = text.replace("'configs/", f"'{ROOT}/configs/").replace("'data/mice/'", f"'{folder}/'")
    (tmp_path / 'my_config.py').write_text(text)
    cfg = Config.fromfile(tmp_path / 'my_config.py')

    from mmdet.registry import DATASETS, METRICS, MODELS

    cfg.model.backbone.init_cfg = None
    assert MODELS.build(cfg.model).roi_head.keypoint_head.num_keypoints == 4
    training = DATASETS.build({**cfg.train_dataloader.dataset, 'cache_dir': ''})
    (row,) = training[0]['data_samples'].gt_instances.keypoints_visible.tolist()
    assert sorted(row) == [0, 1, 2, 2]
    for dataset in (
        training,
        *(DATASETS.build(loader.dataset) for loader in (cfg.val_dataloader, cfg.test_dataloader)),
    ):
        meta = dataset.metainfo
        assert (tuple(meta['classes']), meta['flip_indices']) == (('mouse',), [0, 2, 1, 3])
        assert (meta['skeleton_links'], meta['sigmas']) == ([[0, 3]], [0.03, 0.04, 0.04, 0.06])
    metric = METRICS.build(cfg.test_evaluator)
    metric.dataset_meta = meta
    found = dict(bboxes=[[10, 10, 40, 40]], scores=[0.9], labels=[0], keypoint_scores=[[0.9] * 4])
    found = {k: torch.tensor(v) for k, v in found.items()}
    # 2 px off: by the definition of OKS with offset, size and sigmas of the labelled keypoints.
    found['keypoints'] = torch.tensor(points).reshape(1, 4, 3)[..., :2] + torch.tensor([2.5, 0.5])
    similarity = np.mean([math.exp(-4 / (2 * 900 * (2 * sigma) ** 2)) for sigma in (0.03, 0.04, 0.04)])
    metric.process({}, [dict(img_id=100, ori_shape=(80, 100), pred_instances=found)])
    # Of the thresholds 0.5, 0.55, ..., 0.95.
    reached = sum(similarity >= 0.5 + 0.05 * i for i in range(10)) / 10
    assert 0 < reached < 1 and metric.evaluate(1)['coco/keypoints_mAP'] == reached


def test_linked_files_exist():
    for page in (ROOT / 'README.md', *ROOT.glob('configs/*/README.md')):
        for target in re.findall(r'\]\(([^)#]+)\)', page.read_text()):
            if '://' not in target:
                assert (page.parent / target).exists(), f'{page.name}: {target}'


def test_commands_name_files_that_exist():
    for page in (ROOT / 'README.md', *ROOT.glob('configs/*/README.md')):
        for target in re.findall(r'(?:tools|configs)/[\w./-]+\.(?:py|sh)', page.read_text()):
            assert (ROOT / target).is_file(), f'{page.name}: {target}'
