import contextlib
import io
import json
import logging
import math

import numpy as np
import pytest
import torch
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.datasets.skeleton import PERSON_SIGMAS
from mmisn.evaluation import ScaleRangeCocoMetric, evaluate_scale_ranges
from mmisn.testing.real_data import real_data_root

ITEMS = ('mAP', 'mAP_50', 'mAP_75', 'mAP_m', 'mAP_l', 'AR', 'AR_50', 'AR_75', 'AR_m', 'AR_l')
SIGMAS = [0.05, 0.1, 0.2]


@pytest.fixture
def warnings_of():
    """Function () -> what the logger has warned of."""
    said = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield lambda: said
    logger.removeHandler(handler)


def pred_of(records, labels_of, num_keypoints):
    """``pred_instances`` of an image from its records."""
    boxes = torch.tensor([r['box'] for r in records], dtype=torch.float64).reshape(-1, 4)
    points = torch.tensor([r['points'] for r in records], dtype=torch.float64).reshape(-1, num_keypoints, 2)
    return dict(
        bboxes=boxes,
        scores=torch.tensor([r['score'] for r in records], dtype=torch.float64),
        labels=torch.tensor([labels_of[r['category_id']] for r in records], dtype=torch.int64),
        keypoints=points,
        keypoint_scores=torch.linspace(0.1, 0.9, points.shape[1]).double().repeat(len(records), 1),
    )


def evaluated(metric, coco, records, classes, num_keypoints, **meta):
    metric.dataset_meta = dict(classes=classes, **meta)
    labels_of = {c: i for i, c in enumerate(coco.getCatIds(catNms=list(classes)))}
    for image_id, image in sorted(coco.imgs.items()):
        pred = pred_of([r for r in records if r['image_id'] == image_id], labels_of, num_keypoints)
        sample = dict(img_id=image_id, ori_shape=(image['height'], image['width']), pred_instances=pred)
        metric.process({}, [sample])
    with contextlib.redirect_stdout(io.StringIO()):
        return metric.evaluate(len(coco.imgs))


def pycocotools_stats(coco, path, sigmas=None, iou_type='keypoints', cat_ids=None):
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator = COCOeval(coco, coco.loadRes(str(path)), iou_type)
        if sigmas is not None:
            evaluator.params.kpt_oks_sigmas = np.array(sigmas)
        if cat_ids is not None:
            evaluator.params.catIds = cat_ids
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator.stats


@pytest.fixture
def persons():
    """Annotations of real persons and made-up detections: moved ones, some of them twice, and strangers."""
    if real_data_root() is None:
        pytest.skip('no coco_mini')
    path = real_data_root() / 'coco_mini/annotations/person_keypoints_train.json'
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(path))
    rng = np.random.default_rng(0)
    records = []
    for ann in coco.anns.values():
        x, y, w, h = ann['bbox']
        scale = math.sqrt(w * h)
        for _ in range(rng.integers(0, 3)):
            points = np.array(ann['keypoints'], float).reshape(-1, 3)[:, :2]
            points[(points == 0).all(1)] = (x + w / 2, y + h / 2)
            points += rng.normal(0, rng.choice([0.01, 0.03, 0.1]) * scale, (17, 2))
            box = np.array([x, y, x + w, y + h]) + rng.normal(0, 0.05 * scale, 4)
            records.append(
                dict(image_id=ann['image_id'], category_id=1, box=box.tolist(), points=points.tolist())
                | dict(score=float(rng.uniform()))
            )
    return path, coco, records


def test_equals_pycocotools_on_real_persons(persons, tmp_path):
    path, coco, records = persons
    ranges = [(0, 96), (96, None), dict(lower=32**2, upper=96**2, measure='mask_area')]
    metric = ScaleRangeCocoMetric(
        str(path), ['bbox', 'keypoints'], outfile_prefix=str(tmp_path / 'out'), scale_ranges=ranges
    )
    results = evaluated(metric, coco, records, ['person'], 17)
    expected = pycocotools_stats(coco, tmp_path / 'out.keypoints.json')
    assert {f'coco/keypoints_{i}': round(v, 3) for i, v in zip(ITEMS, expected)} == {
        k: v for k, v in results.items() if k in {f'coco/keypoints_{i}' for i in ITEMS}
    }
    # Sizes matter, and nothing is trivially right or wrong.
    assert len({*expected}) > 7
    assert 0.1 < expected.min() < expected.max() < 0.9
    # COCO's medium is the last range, of keypoints too.
    assert results['coco/keypoints_mAP_area_1024_9216'] == results['coco/keypoints_mAP_m']
    assert results['coco/keypoints_AR_area_1024_9216'] == results['coco/keypoints_AR_m']
    assert results['coco/bbox_mAP'] == round(pycocotools_stats(coco, tmp_path / 'out.bbox.json', None, 'bbox')[0], 3)
    # Boxes have the numbers that they have alone.
    alone = evaluated(ScaleRangeCocoMetric(str(path), 'bbox', scale_ranges=ranges), coco, records, ['person'], 17)
    assert alone == {k: v for k, v in results.items() if 'keypoints' not in k}


def test_written_file_is_cocos_format(persons, tmp_path):
    path, coco, records = persons
    metric = ScaleRangeCocoMetric(str(path), 'keypoints', outfile_prefix=str(tmp_path / 'out'), format_only=True)
    assert evaluated(metric, coco, records, ['person'], 17) == {}
    written = json.loads((tmp_path / 'out.keypoints.json').read_text())
    ordered = sorted(records, key=lambda r: r['image_id'])
    assert len(written) == len(records)
    for found, record in zip(written, ordered):
        assert sorted(found) == ['category_id', 'image_id', 'keypoints', 'score']
        triplets = np.array(found['keypoints']).reshape(17, 3)
        assert np.array_equal(triplets[:, :2], record['points'])
        np.testing.assert_allclose(triplets[:, 2], np.linspace(0.1, 0.9, 17), atol=1e-7)
        assert (found['image_id'], found['score']) == (record['image_id'], record['score'])


def test_offset_of_the_dataset_is_taken_off(persons, tmp_path):
    path, coco, records = persons
    moved = [dict(r, points=(np.array(r['points']) + 0.5).tolist()) for r in records]
    metrics = [ScaleRangeCocoMetric(str(path), 'keypoints') for _ in range(3)]
    plain = evaluated(metrics[0], coco, records, ['person'], 17)
    assert evaluated(metrics[1], coco, moved, ['person'], 17, keypoint_offset=0.5) == plain
    assert evaluated(metrics[2], coco, moved, ['person'], 17) != plain


@pytest.fixture
def birds(scenes):
    """One bird of three keypoints, one of them unlabelled, one without any, and a class without keypoints."""
    anns = [
        dict(id=1, image_id=1, category_id=7, bbox=[10, 10, 50, 40], area=1500, iscrowd=0)
        | dict(keypoints=[20, 20, 2, 40, 30, 1, 0, 0, 0], num_keypoints=2),
        dict(id=2, image_id=1, category_id=7, bbox=[100, 100, 50, 40], area=1500, iscrowd=0),
        dict(id=3, image_id=1, category_id=3, bbox=[200, 100, 50, 40], area=1500, iscrowd=0),
    ]
    coco = scenes.build_coco([1], anns, (3, 7))
    coco.cats[7]['keypoints'] = ['beak', 'left_wing', 'right_wing']
    found = dict(image_id=1, category_id=7, box=[10, 10, 60, 50], points=[[22, 21], [46, 30], [0, 0]], score=0.9)
    other = dict(image_id=1, category_id=3, box=[200, 100, 250, 140], points=[[0, 0]] * 3, score=0.8)
    return coco, [found, other]


def oks(sigmas):
    """Object keypoint similarity of the bird found, by its definition; medium is by ``area``."""
    squared = [2**2 + 1**2, 6**2]
    return np.mean([math.exp(-d / (2 * 1500 * (2 * s) ** 2)) for d, s in zip(squared, sigmas)])


@pytest.mark.parametrize('of_dataset', [False, True])
def test_custom_sigmas_against_the_definition_of_oks(birds, tmp_path, of_dataset):
    coco, records = birds
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    for sigmas in (SIGMAS, SIGMAS[::-1]):
        value = oks(sigmas)
        thresholds = [value - 1e-6, value + 1e-6]
        metric = dict(type='ScaleRangeCocoMetric', ann_file=str(tmp_path / 'a.json'), metric='keypoints')
        metric = METRICS.build(dict(metric, iou_thrs=thresholds, **({} if of_dataset else dict(sigmas=sigmas))))
        # The argument wins over the dataset's.
        meta = dict(sigmas=sigmas if of_dataset else [9.0] * 3)
        results = evaluated(metric, coco, records, ['class_3', 'class_7'], 3, **meta)
        # Found at the first threshold only; the bird without keypoints is ignored, the other class has none.
        assert results['coco/keypoints_mAP'] == results['coco/keypoints_AR'] == 0.5
        assert results['coco/keypoints_mAP_m'] == 0.5
        assert results['coco/keypoints_mAP_l'] == -1
    assert oks(SIGMAS) != pytest.approx(oks(SIGMAS[::-1]), abs=0.01)


def test_scale_ranges_use_the_sigmas(birds, tmp_path):
    coco, records = birds
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    value = oks(SIGMAS)
    metric = ScaleRangeCocoMetric(
        str(tmp_path / 'a.json'),
        ['keypoints'],
        sigmas=SIGMAS,
        iou_thrs=[value - 1e-6, value + 1e-6],
        scale_ranges=[(40, 50), (50, 100)],
    )
    results = evaluated(metric, coco, records, ['class_3', 'class_7'], 3)
    assert (results['coco/keypoints_mAP_40_50'], results['coco/keypoints_mAP_50_100']) == (0.5, -1)


def test_detections_of_a_class_without_keypoints_count_for_boxes_alone(birds, tmp_path):
    """Where the file does not describe the skeleton, any annotation with keypoints makes its category one with some."""
    coco, (found, other) = birds
    coco.dataset['annotations'][2].update(keypoints=[201, 101, 2] + [0] * 6, num_keypoints=1)
    del coco.cats[7]['keypoints']
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    pred = pred_of([found, other], {3: 0, 7: 1}, 3)
    pred['keypoint_scores'][1] = -1
    metric = ScaleRangeCocoMetric(
        str(tmp_path / 'a.json'), ['bbox', 'keypoints'], sigmas=SIGMAS, outfile_prefix=str(tmp_path / 'r')
    )
    metric.dataset_meta = dict(classes=['class_3', 'class_7'])
    metric.process({}, [dict(img_id=1, ori_shape=(360, 400), pred_instances=pred)])
    with contextlib.redirect_stdout(io.StringIO()):
        metric.evaluate(1)
    written = {k: json.loads((tmp_path / f'r.{k}.json').read_text()) for k in ('bbox', 'keypoints')}
    assert [r['category_id'] for r in written['bbox']] == [7, 3]
    assert [r['category_id'] for r in written['keypoints']] == [7]
    assert written['keypoints'][0]['keypoints'][:2] == [22, 21]


def test_results_for_images_without_annotations(birds, tmp_path):
    """COCO's test images come without annotations and without described keypoints: a submission can be written."""
    coco, (found, other) = birds
    content = {k: v for k, v in coco.dataset.items() if k != 'annotations'}
    for category in content['categories']:
        category.pop('keypoints', None)
    (tmp_path / 'a.json').write_text(json.dumps(content))
    pred = pred_of([found, other], {3: 0, 7: 1}, 3)
    pred['keypoint_scores'][1] = -1
    for options in (dict(format_only=True), {}):
        metric = ScaleRangeCocoMetric(
            str(tmp_path / 'a.json'), ['bbox', 'keypoints'], outfile_prefix=str(tmp_path / 'r'), **options
        )
        metric.dataset_meta = dict(classes=['class_3', 'class_7'], keypoint_offset=0.5)
        metric.process({}, [dict(img_id=1, ori_shape=(360, 400), pred_instances=pred)])
        with contextlib.redirect_stdout(io.StringIO()):
            if options:
                assert metric.evaluate(1) == {}
                continue
            with pytest.raises(ValueError, match='no annotations with keypoints to evaluate with; .*format_only=True'):
                metric.evaluate(1)
    (record,) = json.loads((tmp_path / 'r.keypoints.json').read_text())
    assert (record['image_id'], record['category_id'], record['score']) == (1, 7, 0.9)
    np.testing.assert_allclose(record['keypoints'], [21.5, 20.5, 0.1, 45.5, 29.5, 0.5, -0.5, -0.5, 0.9])
    assert len(json.loads((tmp_path / 'r.bbox.json').read_text())) == 2


@pytest.mark.parametrize('as_crowd', [False, True])
def test_ignored_annotations_count_unless_they_are_taken_for_crowds(birds, tmp_path, as_crowd, warnings_of):
    """A second bird, not found: pycocotools overwrites its ``ignore: 1`` by ``iscrowd``."""
    coco, records = birds
    second = dict(coco.dataset['annotations'][0], id=9, bbox=[300, 10, 50, 40], ignore=1)
    second['keypoints'] = [310, 20, 2, 330, 30, 1, 0, 0, 0]
    coco.dataset['annotations'].append(second)
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    options = dict(sigmas=[0.9] * 3, iou_thrs=[0.5], scale_ranges=[(40, 50)], metric_items=['mAP', 'AR@100'])
    for _ in range(2):
        metric = ScaleRangeCocoMetric(
            str(tmp_path / 'a.json'), ['bbox', 'keypoints'], ignore_as_crowd=as_crowd, **options
        )
        found = evaluated(metric, coco, records, ['class_3', 'class_7'], 3)
    # One of two is found, or one of one; boxes of birds have one more without keypoints.
    assert found['coco/keypoints_AR'] == found['coco/keypoints_AR_40_50'] == (1 if as_crowd else 0.5)
    assert found['coco/bbox_AR@100'] == round(((1 / 2 if as_crowd else 1 / 3) + 1) / 2, 3)
    said = [m for m in warnings_of() if 'ignore: 1' in m]
    # Once per metric.
    assert len(said) == (0 if as_crowd else 2)
    assert all('1 annotations have ignore: 1' in m for m in said)


@pytest.mark.parametrize(
    ('described', 'given', 'said'),
    [
        ('coco', None, None),
        ('other', None, "have the names ['p0', 'p1'"),
        (None, None, 'have no names'),
        ('other', [0.1] * 17, None),
    ],
)
def test_cocos_sigmas_for_other_keypoints_are_no_secret(scenes, tmp_path, described, given, said, warnings_of):
    names = {'coco': list(PERSON_SIGMAS), 'other': [f'p{i}' for i in range(17)], None: None}[described]
    ann = dict(id=1, image_id=1, category_id=7, bbox=[10, 10, 50, 40], area=1500, iscrowd=0)
    ann.update(keypoints=[20, 20, 2] * 17, num_keypoints=17)
    coco = scenes.build_coco([1], [ann], (7,))
    if names:
        coco.cats[7]['keypoints'] = names
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    record = dict(image_id=1, category_id=7, box=[10, 10, 60, 50], points=[[20, 20]] * 17, score=0.9)
    metric = ScaleRangeCocoMetric(str(tmp_path / 'a.json'), 'keypoints', sigmas=given)
    # Once, however often it is validated.
    for _ in range(2):
        assert evaluated(metric, coco, [record], ['class_7'], 17)['coco/keypoints_mAP'] == 1
    found = [m for m in warnings_of() if 'sigmas' in m]
    assert len(found) == (said is not None)
    assert said is None or said in found[0]


def test_nothing_detected(birds, tmp_path):
    coco, _ = birds
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    metric = ScaleRangeCocoMetric(str(tmp_path / 'a.json'), ['bbox', 'keypoints'], sigmas=SIGMAS)
    results = evaluated(metric, coco, [], ['class_3', 'class_7'], 3)
    # A detector may leave out keypoints where it found nothing.
    empty = dict(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0))
    metric.process({}, [dict(img_id=1, ori_shape=(360, 400), pred_instances=empty)])
    with contextlib.redirect_stdout(io.StringIO()):
        assert metric.evaluate(1) == results
    assert [results[f'coco/keypoints_{i}'] for i in ITEMS] == [0, 0, 0, 0, -1, 0, 0, 0, 0, -1]
    assert results['coco/bbox_mAP'] == 0


def test_clear_errors(birds, tmp_path):
    coco, records = birds
    path = str(tmp_path / 'a.json')
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    classes = ['class_3', 'class_7']
    with pytest.raises(ValueError, match='needs an annotation file'):
        ScaleRangeCocoMetric(metric='keypoints')
    with pytest.raises(ValueError, match='no sigma for the 3 keypoints'):
        evaluated(ScaleRangeCocoMetric(path, 'keypoints'), coco, records, classes, 3)
    with pytest.raises(ValueError, match=r"metainfo\['sigmas'\] must be 3 numbers > 0, .* got \[0.1, 0.1\]"):
        evaluated(ScaleRangeCocoMetric(path, 'keypoints'), coco, records, classes, 3, sigmas=[0.1, 0.1])
    with pytest.raises(ValueError, match=r'ScaleRangeCocoMetric.sigmas must be 3 numbers > 0'):
        evaluated(ScaleRangeCocoMetric(path, 'keypoints', sigmas=[0.1, 0, 0.1]), coco, records, classes, 3)
    four = [dict(r, points=[[1, 1]] * 4) for r in records]
    with pytest.raises(ValueError, match='predicts 4 keypoints, the annotations have 3'):
        evaluated(ScaleRangeCocoMetric(path, 'keypoints', sigmas=SIGMAS), coco, four, classes, 4)
    metric = ScaleRangeCocoMetric(path, 'keypoints', sigmas=SIGMAS)
    pred = dict(bboxes=torch.zeros(1, 4), scores=torch.zeros(1), labels=torch.zeros(1))
    with pytest.raises(ValueError, match='needs pred_instances.keypoints; does the detector predict any'):
        metric.process({}, [dict(img_id=1, ori_shape=(9, 9), pred_instances=pred)])
    del coco.cats[7]['keypoints']
    for ann in coco.dataset['annotations']:
        ann.pop('keypoints', None)
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    with pytest.raises(ValueError, match=r"no category of \['class_3', 'class_7'\] has keypoints"):
        evaluated(ScaleRangeCocoMetric(path, 'keypoints', sigmas=SIGMAS), coco, records, classes, 3)


def test_pycocotools_gives_the_reported_mask_numbers_from_the_written_file(scenes, tmp_path):
    coco, dets = scenes.random_scene(3)
    (tmp_path / 'a.json').write_text(json.dumps(coco.dataset))
    items = [f'mAP{i}' for i in ('', '_50', '_75', '_s', '_m', '_l')] + [f'AR_{i}@1000' for i in 'sml']
    metric = ScaleRangeCocoMetric(
        str(tmp_path / 'a.json'), ['bbox', 'segm'], outfile_prefix=str(tmp_path / 'out'), metric_items=items
    )
    metric.dataset_meta = dict(classes=('class_3', 'class_7', 'class_9'))
    labels_of = {3: 0, 7: 1, 9: 2}
    for image_id in sorted(coco.imgs):
        mine = [d for d in dets if d['image_id'] == image_id]
        xywh = torch.tensor([d['bbox'] for d in mine]).reshape(-1, 4)
        pred = dict(
            bboxes=torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1),
            scores=torch.tensor([d['score'] for d in mine]),
            labels=torch.tensor([labels_of[d['category_id']] for d in mine], dtype=torch.int64),
            masks=[dict(d['segmentation'], counts=d['segmentation']['counts'].encode()) for d in mine],
        )
        metric.process({}, [dict(img_id=image_id, ori_shape=scenes.image_hw, pred_instances=pred)])
    with contextlib.redirect_stdout(io.StringIO()):
        results = metric.evaluate(len(coco.imgs))
    expected = pycocotools_stats(coco, tmp_path / 'out.segm.json', iou_type='segm')[[*range(6), 9, 10, 11]]
    assert [results[f'coco/segm_{i}'] for i in items] == [round(v, 3) for v in expected]
    assert len({round(v, 3) for v in expected[[3, 4, 5]]}) == len({round(v, 3) for v in expected[[6, 7, 8]]}) == 3
    # With the boxes that CocoMetric writes, pycocotools would take detections' areas from them: other numbers.
    boxes, masks = (json.loads((tmp_path / f'out.{kind}.json').read_text()) for kind in ('bbox', 'segm'))
    assert [{**m, 'bbox': b['bbox']} for m, b in zip(masks, boxes)] != masks and len(masks) == len(boxes)
    (tmp_path / 'boxes.json').write_text(json.dumps([{**m, 'bbox': b['bbox']} for m, b in zip(masks, boxes)]))
    other = pycocotools_stats(coco, tmp_path / 'boxes.json', iou_type='segm')[[*range(6), 9, 10, 11]]
    assert np.array_equal(other[:3], expected[:3]) and (other[3:] != expected[3:]).any()


def test_evaluate_scale_ranges_takes_sigmas(birds):
    coco, records = birds
    for ann in coco.dataset['annotations']:
        ann.setdefault('keypoints', [0] * 9)
        ann.setdefault('num_keypoints', 0)
    points = np.concatenate([np.array(records[0]['points'], float), np.ones((3, 1))], 1)
    result = dict(image_id=1, category_id=7, keypoints=points.ravel().tolist(), score=0.9)
    with contextlib.redirect_stdout(io.StringIO()):
        coco_dt = coco.loadRes([result])
    for shift, ap in ((-1e-6, 1), (1e-6, 0)):
        found = evaluate_scale_ranges(
            coco, coco_dt, [(0, None)], 'keypoints', cat_ids=[7], iou_thrs=[oks(SIGMAS) + shift], sigmas=SIGMAS
        )
        assert found[0].ap == pytest.approx(ap)
