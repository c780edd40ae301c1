"""ScaleNet through ``mim``, as users train and test it."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from pycocotools.coco import COCO

SCALENET = Path(__file__).parents[2] / 'configs' / 'scalenet' / 'scalenet_mobilenetv2-small_octaves_1xb8_scenes.py'

CHILD = """
_base_ = {base!r}
data_root = {root!r}
train_cfg = dict(max_epochs=1)
param_scheduler = [dict(type='ConstantLR', factor=1.0)]
model = dict(decoder=dict(channels=(16, 16, 8, 8)))
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root)
)
val_dataloader = dict(
    batch_size=3, num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root)
)
test_dataloader = val_dataloader
"""


@pytest.fixture(scope='module')
def scalenet(project):
    path = project.folder / 'scalenet.py'
    path.write_text(CHILD.format(base=str(SCALENET), root=f'{project.scenes}/'))
    return path


def by_hand(project, config, checkpoint):
    """Share of the pixels whose class is right, and number of objects below 12.8 px, from pictures and annotations."""
    net = MODELS.build(Config.fromfile(config).model)
    load_checkpoint(net, str(checkpoint), map_location='cpu')
    coco = COCO(project.ann_file)
    right, small = [], 0
    for image in coco.dataset['images']:
        (found,) = net.predict_maps([cv2.imread(str(project.scenes / 'val' / image['file_name']))])
        truth = np.zeros(found.shape[1:], int)
        scales = {a['id']: math.sqrt(a['bbox'][2] * a['bbox'][3]) for a in coco.imgToAnns[image['id']]}
        for key in sorted(scales, key=scales.get, reverse=True):
            truth[coco.annToMask(coco.anns[key]) > 0] = 1 + sum(scales[key] >= 0.4 * 2**n for n in range(3, 10))
        small += sum(scale < 12.8 for scale in scales.values())
        right.append(found.argmax(axis=0) == truth)
    return np.mean(right), small


def test_train_then_test_with_pictures(project, scalenet, tmp_path):
    project.run('train', 'mmdet', scalenet, '--work-dir', tmp_path / 'trained')
    checkpoint = tmp_path / 'trained' / 'epoch_1.pth'
    args = ['--checkpoint', checkpoint, '--work-dir', tmp_path / 'tested', '--show-dir', 'pictures']
    project.run('test', 'mmdet', scalenet, *args)
    (log,) = [p for p in (tmp_path / 'tested').glob('*/*.json') if p.stem == p.parent.name]
    metrics = json.loads(log.read_text())
    accuracy, small = by_hand(project, scalenet, checkpoint)
    assert metrics['scale_map/accuracy'] == pytest.approx(accuracy, abs=2e-4)
    assert metrics['scale_map/small_objects'] + metrics['scale_map/small_hidden'] == small > 0
    # One per picture: the image, the truth and the prediction beside each other.
    pictures = sorted((tmp_path / 'tested').glob('*/pictures/*.jpg'))
    assert len(pictures) == 6
    assert cv2.imread(str(pictures[0])).shape[1] == 3 * 640
