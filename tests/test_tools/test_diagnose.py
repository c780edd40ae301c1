"""``diagnose`` end to end on a tiny detector, whose own detections are annotated so that it finds some of them."""

import copy
import csv
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from pycocotools.coco import COCO

from mmisn.evaluation.diagnosis_run import diagnose, objects_of_annotations
from mmisn.evaluation.keypoint_diagnosis import TrueBoxKeypoints
from mmisn.models.test_time_augs import ScaleRangeTTAModel
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'diagnose.py'
CLASSES = ('ship', 'car', 'bird')
CATEGORY_IDS = (3, 8, 90)
IMAGE_WH = (120, 96)
TTA_MODEL = dict(type='ScaleRangeTTAModel', scale_range=(10, 60))
TTA_PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[f])) for f in (2.0, 1.0, 0.5)],
            [dict(type='CropChip')],
            [dict(type='LoadAnnotations', with_bbox=True)],
            [dict(type='PackInstanceInputs')],
        ],
    ),
]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('diagnose', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _merged(path, detector):
    """Detections of the whole test on one picture."""
    info = dict(img_path=str(path), img_id=0, instances=[], height=IMAGE_WH[1], width=IMAGE_WH[0])
    data = pseudo_collate([Compose(copy.deepcopy(TTA_PIPELINE))(info)])
    with torch.no_grad():
        return ScaleRangeTTAModel(detector, **{k: v for k, v in TTA_MODEL.items() if k != 'type'}).test_step(data)[0]


@pytest.fixture(scope='module')
def tested(tmp_path_factory):
    """A folder with config, checkpoint and three pictures, and what is annotated in them."""
    folder = tmp_path_factory.mktemp('diagnose')
    detector = build_tiny_detector(tiny_faster_rcnn_cfg(), spread=60.0)
    torch.save(dict(state_dict=detector.state_dict()), folder / 'weights.pth')
    anns, images = [], []

    def add(image, label, box, **extras):
        area = float(box[2] * box[3])
        category = CATEGORY_IDS[label] if label is not None else 55
        ann = dict(id=len(anns) + 1, image_id=image, category_id=category, bbox=box, area=area, iscrowd=0)
        anns.append(dict(ann, **extras))

    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, IMAGE_WH[::-1] + (3,), np.uint8)
        cv2.imwrite(str(folder / f'{i}.png'), pixels)
        images.append(dict(id=70 + i, file_name=f'{i}.png', width=IMAGE_WH[0], height=IMAGE_WH[1]))
        found = _merged(folder / f'{i}.png', detector).pred_instances
        # The last picture has nothing in it.
        for j in () if i == 2 else range(0, min(12, len(found)), 4):
            x1, y1, x2, y2 = found.bboxes[j].double().tolist()
            add(70 + i, int(found.labels[j]), [x1, y1, x2 - x1, y2 - y1])
    num_found = len(anns)
    add(70, 0, [0.0, 0.0, 3.0, 3.0])  # 6 px at x2: in no range
    add(71, 2, [10, 10, 50, 50], iscrowd=1)
    add(71, 1, [10, 10, 20, 20], ignore=1)
    add(71, None, [10, 10, 20, 20])
    add(71, 1, [130, 10, 20, 20])
    categories = [dict(id=c, name=n) for c, n in zip((*CATEGORY_IDS, 55), (*CLASSES, 'other'))]
    content = dict(images=images, annotations=anns, categories=categories)
    (folder / 'a.json').write_text(json.dumps(content))
    cfg = Config(
        dict(
            default_scope='mmdet',
            model=tiny_faster_rcnn_cfg(),
            tta_model=TTA_MODEL,
            tta_pipeline=TTA_PIPELINE,
            test_dataloader=dict(
                batch_size=2,
                num_workers=0,
                sampler=dict(type='DefaultSampler', shuffle=False),
                dataset=dict(
                    type='CocoDataset',
                    ann_file=str(folder / 'a.json'),
                    data_prefix=dict(img=str(folder)),
                    metainfo=dict(classes=CLASSES),
                    test_mode=True,
                    pipeline=[],
                ),
            ),
        )
    )
    cfg.dump(folder / 'config.py')
    return folder, anns[: num_found + 1]


def _rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_whole(tool, tested, tmp_path, capsys):
    folder, anns = tested
    options = ['--score-thr', '0.01', '--iou-thr', '0.9']
    tool.main([str(folder / 'config.py'), str(folder / 'weights.pth'), '--out', str(tmp_path / 'd'), *options])
    objects = _rows(tmp_path / 'd' / 'objects.csv')
    assert [int(o['annotation_id']) for o in objects] == sorted(a['id'] for a in anns if a['image_id'] == 70) + sorted(
        a['id'] for a in anns if a['image_id'] == 71
    )
    by_id = {int(o['annotation_id']): o for o in objects}
    for ann in anns[:-1]:
        found = by_id[ann['id']]
        assert found['merged'] == 'found'
        assert 'found' in (found['x2'], found['x1'], found['x0.5'])
        assert found['class'] == dict(zip(CATEGORY_IDS, CLASSES))[ann['category_id']]
        assert float(found['scale_px']) == pytest.approx(math.sqrt(ann['area']), abs=0.006)
    tiny = by_id[anns[-1]['id']]
    assert [tiny[v] for v in ('x2', 'x1', 'x0.5')] == ['out of range'] * 3
    assert tiny['merged'] == 'found by no view'
    total = _rows(tmp_path / 'd' / 'diagnosis.csv')[-1]
    assert (int(total['objects']), int(total['merged: found'])) == (len(anns), len(anns) - 1)
    for view in ('x2', 'x1', 'x0.5'):
        for state in ('found', 'discarded', 'missed', 'out of range'):
            assert int(total[f'{view}: {state}']) == sum(o[view] == state for o in objects)
    # The octaves start at a lower bound: 10 px at x2 are 5 px.
    assert math.log2(float(total['lower_px']) / 5) % 1 == 0
    text = (tmp_path / 'd' / 'diagnosis.md').read_text()
    assert f'{len(anns)} objects of 3 images' in text
    assert '- 1 annotations left out: crowd\n' in text
    assert '- 1 annotations left out: marked "ignore"\n' in text
    assert '- 1 annotations left out: of a category that is not among the classes\n' in text
    assert '- 1 annotations left out: a box without area in the image\n' in text
    assert "1 of 1 objects (100 %) of 2.5-5 px are in no view's range" in text
    assert text.strip() in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / 'd' / 'diagnosis.png')) is not None


def _shares_inside(boxes, region):
    """Share of each box that lies in the region, corners x1, y1, x2, y2."""
    wh = (np.minimum(boxes[:, 2:], region[2:]) - np.maximum(boxes[:, :2], region[:2])).clip(0)
    return wh.prod(axis=1) / (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)


def _reported(folder, objects, edges):
    """Detections with a score of at least 0.1 by view and octave, and how many of them are in regions to ignore."""
    detector = build_tiny_detector(tiny_faster_rcnn_cfg(), spread=60.0)
    detector.load_state_dict(torch.load(folder / 'weights.pth', weights_only=True)['state_dict'])
    ignored, counts = 0, np.zeros((3, len(edges) - 1), int)
    for i in range(3):
        found = _merged(folder / f'{i}.png', detector).pred_instances
        found = found[found.scores >= 0.1]
        matched = [float(o['merged_score']) for o in objects if o['image_id'] == str(70 + i) and o['merged_score']]
        regions = {2: (10, 10, 60, 60), 1: (10, 10, 30, 30)} if i == 1 else {}
        boxes, labels = found.bboxes.double().numpy(), found.labels.tolist()
        for box, label, score, view in zip(boxes, labels, found.scores.tolist(), found.view_ids.tolist()):
            free = min([abs(score - s) for s in matched], default=1) > 5e-4
            if label in regions and free and _shares_inside(box[None], np.array(regions[label]))[0] >= 0.9:
                ignored += 1
                continue
            scale = max(math.sqrt((box[2:] - box[:2]).prod()), edges[0])
            counts[view, np.searchsorted(edges, scale, side='right') - 1] += 1
    return counts, ignored


def test_false_positives(tool, tested, tmp_path, capsys):
    folder, _ = tested
    out = tmp_path / 'd'
    options = ['--iou-thr', '0.9', '--fp-score-thr', '0.1', '--score-thr', '0.1']
    tool.main([str(folder / 'config.py'), str(folder / 'weights.pth'), '--out', str(out), *options])
    objects = _rows(out / 'objects.csv')
    rows = {(r['view'], float(r['lower_px']), float(r['upper_px'])): r for r in _rows(out / 'false_positives.csv')}
    kinds = ('true', 'twice', 'other class', 'loose', 'part', 'background')
    edges = sorted({k[1] for k in rows} | {k[2] for k in rows})
    octaves = [*zip(edges[:-1], edges[1:])]
    expected, ignored = _reported(folder, objects, edges)
    assert expected.sum() > 20
    for v, view in enumerate(('x2', 'x1', 'x0.5')):
        assert [sum(int(rows[(view, *o)][k]) for k in kinds) for o in octaves] == expected[v].tolist()
        for k in kinds:
            assert int(rows[(view, edges[0], edges[-1])][k]) == sum(int(rows[(view, *o)][k]) for o in octaves)
    total = {k: int(rows[('all', edges[0], edges[-1])][k]) for k in kinds}
    assert total['true'] == sum(o['merged'] == 'found' for o in objects) > 0
    text = (out / 'diagnosis.md').read_text().split('\n## False positives\n')[1]
    assert f'- {ignored} detections left out: in a crowd or what is marked "ignore"\n' in text
    assert ignored > 0
    assert 'score of at least 0.1' in text
    line = next(line for line in text.splitlines() if line.startswith('| all '))
    cells = [c.strip() for c in line.strip('|').split('|')]
    assert cells[1:4] == [str(v) for v in (expected.sum(), total['true'], expected.sum() - total['true'])]
    assert cells[5:] == [str(total[k]) for k in kinds[1:]]
    assert text.strip() in capsys.readouterr().out
    assert cv2.imread(str(out / 'false_positives.png')) is not None


def test_views_and_fewer_images(tested):
    folder, anns = tested
    cfg = Config.fromfile(folder / 'config.py')
    before = cfg.pretty_text
    # Of three images the first and the last.
    result = diagnose(cfg, folder / 'weights.pth', max_images=2)
    assert cfg.pretty_text == before
    assert result.num_images == 2
    assert set(result.states.image_ids) == {70}
    assert len(result.states) == sum(a['image_id'] == 70 for a in anns)
    assert result.left_out == {}
    assert list(result.views.names) == ['x2', 'x1', 'x0.5']
    np.testing.assert_allclose(result.views.bounds, [[5, 30], [10, 60], [20, 120]])
    assert result.views.factors.tolist() == [2, 1, 0.5]
    np.testing.assert_allclose(result.views.megapixels, [0.04608, 0.01152, 0.00288])
    # One empty image alone: no objects, no error.
    cfg.test_dataloader.dataset.indices = [2]
    assert len(diagnose(cfg, folder / 'weights.pth').states) == 0


def test_ranges_per_view_and_none(tested):
    folder, anns = tested
    cfg = Config.fromfile(folder / 'config.py')
    cfg.tta_model.scale_range = [(0, 90), dict(lower=32, upper=180, frame='original'), (75, None)]
    views = diagnose(cfg, folder / 'weights.pth', max_images=1).views
    np.testing.assert_allclose(views.bounds, [[0, 45], [32, 180], [150, math.inf]])
    cfg.tta_model.scale_range = None
    result = diagnose(cfg, folder / 'weights.pth', max_images=1)
    assert result.views.bounds.tolist() == [[0, math.inf]] * 3
    assert result.states.in_range.all()


def test_objects_are_those_of_the_file(tested):
    coco = COCO(str(tested[0] / 'a.json'))
    labels = {c: i for i, c in enumerate(CATEGORY_IDS)}
    objects = objects_of_annotations(coco, 70, labels, IMAGE_WH)
    expected = [a for a in tested[1] if a['image_id'] == 70]
    assert objects.annotation_ids == [a['id'] for a in expected]
    corners = [[x, y, x + w, y + h] for x, y, w, h in (a['bbox'] for a in expected)]
    np.testing.assert_array_equal(objects.boxes_xyxy, corners)
    assert [CATEGORY_IDS[v] for v in objects.labels] == [a['category_id'] for a in expected]
    assert len(objects.ignored_xyxy) == len(objects.ignored_labels) == 0
    assert len(objects_of_annotations(coco, 72, labels, IMAGE_WH).boxes_xyxy) == 0
    # Crowds and what is marked, but neither other classes nor boxes out of the image.
    ignored = objects_of_annotations(coco, 71, labels, IMAGE_WH)
    assert ignored.ignored_xyxy.tolist() == [[10, 10, 60, 60], [10, 10, 30, 30]]
    assert ignored.ignored_labels.tolist() == [2, 1]


def test_errors(tool, tested, tmp_path):
    folder, _ = tested
    config, weights = str(folder / 'config.py'), str(folder / 'weights.pth')

    def fails(message, *options, config=config, weights=weights):
        with pytest.raises(SystemExit, match=message):
            tool.main([config, weights, '--out', str(tmp_path / 'd'), *options])

    fails(r'error: an IoU threshold lies in \(0, 1\], a score threshold in \[0, 1\]; got 0.0, 0.05', '--iou-thr', '0')
    fails(r'error: the score threshold of false positives lies in \[0, 1\], got 1.5', '--fp-score-thr', '1.5')
    fails(r'false positives lies in \[0, 1\], got nan', '--fp-score-thr', 'nan')
    fails('error: max_images must be at least 1, got 0', '--max-images', '0')
    fails('error: an edge of octaves must be > 0 and finite, got -1.0', '--octave-edge', '-1', '--max-images', '1')
    fails('can not be found', weights=str(folder / 'none.pth'))
    fails('test_dataloader.dataset is a VOCDataset', '--cfg-options', 'test_dataloader.dataset.type=VOCDataset')
    fails('dataset is a ConcatDataset', '--cfg-options', 'test_dataloader.dataset.type=ConcatDataset')
    broken = json.loads((folder / 'a.json').read_text())
    broken['annotations'][0]['bbox'][2] = math.nan
    (tmp_path / 'nan.json').write_text(json.dumps(broken))
    fails('its four numbers must be finite', '--cfg-options', f'test_dataloader.dataset.ann_file={tmp_path}/nan.json')
    plain = Config.fromfile(config)
    plain.pop('tta_pipeline')
    plain.dump(tmp_path / 'plain.py')
    fails('plain.py has no tta_pipeline; take a _base_ file of configs/_base_/tta', config=str(tmp_path / 'plain.py'))


def test_keypoints_are_added_to_the_report(tool, tmp_path):
    (tmp_path / 'diagnosis.md').write_text('what was there\n')
    found = TrueBoxKeypoints((0.5, 2.0), np.array([10.0, 30.0]), np.array([[0.25, 0.5], [0.75, 1.0]]))
    report = tool.write_keypoints(found, tmp_path, 8.0)
    assert '## Keypoints in the annotated boxes' in report and '| 8-16' in report
    assert (tmp_path / 'diagnosis.md').read_text() == f'what was there\n{report}\n'
    rows = list(csv.reader((tmp_path / 'keypoints.csv').open()))
    assert rows[0] == ['scale, px', 'objects', 'x0.5', 'x2']
    assert rows[1:] == [
        ['8-16', '1', '0.250', '0.500'],
        ['16-32', '1', '0.750', '1.000'],
        ['all', '2', '0.500', '0.750'],
    ]
