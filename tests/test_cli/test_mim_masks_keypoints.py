"""The configs of masks and of keypoints through ``mim``, as users train and test them: files, numbers and pictures."""

import contextlib
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.datasets.scenes import SceneConfig, make_scenes

CONFIGS = Path(__file__).parents[2] / 'configs'
KINDS = {
    'segm': ('isn/isn-mask-rcnn_r18-small_fpn_1xb8_scenes.py', None),
    'keypoints': ('keypoint/isn-offset-keypoint-rcnn_r18-small_fpn_1xb8_scenes-person.py', ('person',)),
}
# A few iterations find nothing well: thresholds at which something is right.
IOU_THRS = [0.01, 0.05]

CHILD = """
_base_ = {base!r}
data_root = {root!r}
ann_file = data_root + 'annotations/instances_val.json'
train_cfg = dict(max_epochs=1, val_begin=99)
train_dataloader = dict(
    num_workers=0, persistent_workers=False, dataset=dict(cache_dir='', dataset=dict(data_root=data_root))
)
val_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=ann_file)
test_evaluator = dict(val_evaluator, iou_thrs={iou_thrs!r})
default_hooks = dict(visualization=dict(score_thr=0.0))
"""


@pytest.fixture(scope='module', params=KINDS)
def tested(request, project):
    """Kind, scenes, result files, metrics and pictures of a test after one short epoch."""
    kind = request.param
    base, classes = KINDS[kind]
    folder = project.folder / kind
    make_scenes(folder / 'scenes', 3, 2, SceneConfig.small(**(dict(classes=classes) if classes else {})))
    config = folder / 'config.py'
    text = CHILD.format(base=str(CONFIGS / base), root=f'{folder / "scenes"}/', iou_thrs=IOU_THRS)
    config.write_text(text + ('visualizer = dict(keypoint_score_thr=0.0)\n' if kind == 'keypoints' else ''))
    project.run('train', 'mmdet', config, '--work-dir', folder / 'trained')
    checkpoint = ['--checkpoint', folder / 'trained' / 'epoch_1.pth', '--work-dir', folder / 'tested']
    options = ['--show-dir', 'pictures', '--cfg-options', f'test_evaluator.outfile_prefix={folder / "results"}']
    project.run('test', 'mmdet', config, *checkpoint, *options)
    (log,) = [p for p in (folder / 'tested').glob('*/*.json') if p.stem == p.parent.name]
    pictures = sorted((folder / 'tested').glob('*/pictures/*.jpg'))
    return kind, folder, json.loads(log.read_text()), pictures


def by_pycocotools(ann_file, results, kind):
    """AP and AR (at 100 detections per image, 20 for keypoints)."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(ann_file))
        evaluation = COCOeval(coco, coco.loadRes(str(results)), kind)
        evaluation.params.iouThrs = np.array(IOU_THRS)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


def test_pycocotools_finds_the_numbers_in_the_files(tested):
    kind, folder, metrics, _ = tested
    for name in ('bbox', kind):
        expected = by_pycocotools(
            folder / 'scenes/annotations/instances_val.json', folder / f'results.{name}.json', name
        )
        assert expected > 0.001
        assert metrics[f'coco/{name}_mAP'] == round(expected, 3)


def test_pictures_show_truth_and_detections(tested):
    """Side by side; parts of each half look unlike the picture, and the halves unlike each other."""
    _, folder, _, pictures = tested
    assert len(pictures) == 2
    for path in pictures:
        drawn = cv2.imread(str(path)).astype(int)
        (source,) = (folder / 'scenes' / 'val').glob(f'{path.stem}.*')
        plain = cv2.imread(str(source)).astype(int)
        assert drawn.shape == (plain.shape[0], 2 * plain.shape[1], 3)
        halves = np.split(drawn, 2, axis=1)
        # More than a jpg file changes.
        changed = [np.abs(half - plain).max(axis=-1) > 60 for half in halves]
        assert all(c.sum() > 200 for c in changed)
        assert (changed[0] != changed[1]).sum() > 200
