"""ScaleNet through ``mim``, as users train and test it."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.config import Config
from mmengine.runner import load_checkpoint
from pycocotools.coco import COCO

from mmisn.visualization import draw_windows

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


RECURSIVE = SCALENET.with_name('recursive-faster-rcnn_r18-small_fpn_1xb4_scenes_chip-detector.py')

DETECTOR = """
_base_ = {base!r}
data_root = {root!r}
ann_file = data_root + 'annotations/two.json'
model = dict(
    generator=dict(max_rescales=1),
    scale_net=dict(init_cfg=dict(checkpoint={net!r})),
)
val_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root, ann_file='annotations/two.json')
)
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=ann_file)
test_evaluator = val_evaluator
"""


def write_two(project):
    """Annotations of the first two pictures; returns the pictures' files."""
    content = json.loads(project.ann_file.read_text())
    content['images'] = content['images'][:2]
    chosen = {image['id'] for image in content['images']}
    content['annotations'] = [a for a in content['annotations'] if a['image_id'] in chosen]
    (project.scenes / 'annotations' / 'two.json').write_text(json.dumps(content))
    return [project.scenes / 'val' / image['file_name'] for image in content['images']]


def test_detector_behind_a_scale_net(project, tmp_path):
    """Random weights, but for a scale net that finds everything small: it has windows all over the picture."""
    files = write_two(project)
    path = project.folder / 'recursive.py'
    path.write_text(DETECTOR.format(base=str(RECURSIVE), root=f'{project.scenes}/', net=str(tmp_path / 'net.pth')))
    cfg = Config.fromfile(path)
    net = MODELS.build(dict(cfg.model.scale_net, init_cfg=None))
    torch.nn.init.zeros_(net.head.conv.weight)
    net.head.conv.bias.data = torch.tensor([0.0, 9, 0, 0, 0, 0])
    torch.save(dict(state_dict=net.state_dict()), tmp_path / 'net.pth')
    torch.manual_seed(0)
    weights = MODELS.build(cfg.model.detector).state_dict()
    meta = dict(dataset_meta=dict(classes=cfg.test_dataloader.dataset.metainfo.classes))
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'detector.pth')

    args = ['--checkpoint', tmp_path / 'detector.pth', '--work-dir', tmp_path / 'tested', '--show-dir', 'pictures']
    printed = project.run('test', 'mmdet', path, *args)
    (log,) = [p for p in (tmp_path / 'tested').glob('*/*.json') if p.stem == p.parent.name]
    metrics = json.loads(log.read_text())

    def all_small(chips):
        return [np.eye(6)[1][:, None, None] * np.ones((1, *chip.size_wh[::-1])) for chip in chips]

    images = [cv2.imread(str(file)) for file in files]
    sizes_wh = [image.shape[1::-1] for image in images]
    views = [TASK_UTILS.build(cfg.model.generator).views(wh, all_small) for wh in sizes_wh]
    assert min(map(len, views)) > 4
    assert metrics['cost/views'] == np.mean([len(v) for v in views])
    pixels = [sum(w * h for w, h in (chip.size_wh for chip in v)) for v in views]
    assert metrics['cost/mpix'] == pytest.approx(np.mean(pixels) / 1e6, rel=1e-3)
    # One look at each picture, which the net sees at a size of its own.
    assert metrics['cost/scale_net_mpix'] == pytest.approx(math.prod(cfg.model.scale_net.view_size) / 1e6, rel=1e-3)
    assert metrics['cost/seconds'] > 0 and 'cost/views' in printed
    assert any(key.startswith('coco/') for key in metrics)

    for file, image, chips in zip(files, images, views):
        (picture,) = (tmp_path / 'tested').glob(f'*/pictures/{file.stem}.*')
        # Truth and detections side by side, each over the windows.
        found = cv2.imread(str(picture))[:, -image.shape[1] :].astype(int)
        drawn = draw_windows(image[..., ::-1], chips, image.shape[1::-1])[..., ::-1]
        border = (drawn != image).any(axis=-1)
        assert border.mean() > 0.02
        # jpg blurs thin lines; blocks of both pictures lie alike, their widths being whole blocks.
        blurred = cv2.imdecode(cv2.imencode('.jpg', drawn)[1], cv2.IMREAD_COLOR).astype(int)
        assert image.shape[1] % 16 == 0 and np.mean(abs(found - blurred)[border]) < 3
        assert np.mean(abs(image - blurred)[border]) > 30


def test_checkpoint_of_other_classes_is_an_error(project, tmp_path):
    """As many classes by other names: mim stops before it scores wrong labels."""
    write_two(project)
    path = project.folder / 'other_classes.py'
    path.write_text(DETECTOR.format(base=str(RECURSIVE), root=f'{project.scenes}/', net=str(tmp_path / 'net.pth')))
    cfg = Config.fromfile(path)
    torch.save(
        dict(state_dict=MODELS.build(dict(cfg.model.scale_net, init_cfg=None)).state_dict()), tmp_path / 'net.pth'
    )
    names = cfg.test_dataloader.dataset.metainfo.classes
    meta = dict(dataset_meta=dict(classes=names[::-1]))
    weights = MODELS.build(cfg.model.detector).state_dict()
    torch.save(dict(state_dict=weights, meta=meta), tmp_path / 'detector.pth')
    done = project.mim('test', 'mmdet', path, '--checkpoint', tmp_path / 'detector.pth', '--work-dir', tmp_path / 'out')
    assert done.returncode != 0
    assert f'in another order: {list(names[::-1])} against {list(names)}' in done.stdout + done.stderr
