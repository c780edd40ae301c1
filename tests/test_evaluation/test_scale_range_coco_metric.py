import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from mmdet.evaluation import CocoMetric
from mmdet.registry import METRICS
from mmengine.logging import MMLogger
from pycocotools.coco import COCO

from mmisn.evaluation import ScaleRangeCocoMetric, evaluate_scale_ranges, load_results
from mmisn.structures import ScaleRange

RANGES = [(16, 128), (2000, 3000)]
CLASSES = ('class_3', 'class_7', 'class_9')


def data_samples_of(coco_gt, dets, with_masks=False):
    """What a detector hands to the metric, one dict per image; without detections, empty ones."""
    cat_ids = sorted(coco_gt.cats)
    samples = []
    for img_id, img in sorted(coco_gt.imgs.items()):
        mine = [d for d in dets if d['image_id'] == img_id]
        xywh = torch.tensor([d['bbox'] for d in mine], dtype=torch.float64).reshape(-1, 4)
        pred = dict(
            bboxes=torch.cat([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], 1),
            scores=torch.tensor([d['score'] for d in mine], dtype=torch.float64),
            labels=torch.tensor([cat_ids.index(d['category_id']) for d in mine], dtype=torch.int64),
        )
        if with_masks:
            pred['masks'] = [dict(d['segmentation'], counts=d['segmentation']['counts'].encode()) for d in mine]
        instances = [
            dict(
                bbox=[x, y, x + w, y + h],
                bbox_label=cat_ids.index(ann['category_id']),
                ignore_flag=ann['iscrowd'],
            )
            for ann in coco_gt.imgToAnns[img_id]
            for x, y, w, h in [ann['bbox']]
        ]
        samples.append(
            dict(img_id=img_id, ori_shape=(img['height'], img['width']), pred_instances=pred, instances=instances)
        )
    return samples


@pytest.fixture
def scene(scenes, tmp_path):
    """COCO object, detections and the path of the annotation file."""
    coco_gt, dets = scenes.random_scene(0)
    path = tmp_path / 'instances.json'
    path.write_text(json.dumps(coco_gt.dataset))
    return coco_gt, dets, str(path)


def evaluated(metric, samples):
    metric.dataset_meta = dict(classes=CLASSES)
    for sample in samples:
        metric.process({}, [sample])
    return metric.evaluate(len(samples))


def rounded(results, metric, names):
    expected = {}
    for name, result in zip(names, results):
        for item, value in (('mAP', result.ap), ('AP50', result.ap50), ('AP75', result.ap75), ('AR', result.ar)):
            expected[f'coco/{metric}_{item}_{name}'] = round(value, 3)
    return expected


def test_ranges_beside_the_standard_numbers(scene):
    coco_gt, dets, path = scene
    samples = data_samples_of(coco_gt, dets, with_masks=True)
    cfg = dict(ann_file=path, metric=['bbox', 'segm', 'proposal'], classwise=True)
    standard = evaluated(CocoMetric(**cfg), samples)
    metric = METRICS.build(dict(type='ScaleRangeCocoMetric', scale_ranges=RANGES, **cfg))
    got = evaluated(metric, samples)
    expected = dict(standard)
    for iou_type in ('bbox', 'segm'):
        results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, [dict(d) for d in dets]), RANGES, iou_type)
        assert 0.05 < results[0].ap < 0.9
        expected.update(rounded(results, iou_type, ['16_128', '2000_3000']))
    assert got == expected
    assert got['coco/bbox_mAP_2000_3000'] == got['coco/segm_AR_2000_3000'] == -1
    assert len(got) == len(standard) + 16
    # The second epoch gives the same.
    assert evaluated(metric, samples) == got


def test_area_ranges_of_the_metric_equal_its_own_small_medium_large(scene):
    coco_gt, dets, path = scene
    bounds = [(0, 1024), (1024, 9216), (9216, 1e10)]
    ranges = [dict(lower=lo, upper=up, measure='mask_area') for lo, up in bounds]
    got = evaluated(
        ScaleRangeCocoMetric(path, scale_ranges=ranges, proposal_nums=(1, 10, 100)), data_samples_of(coco_gt, dets)
    )
    names = [f'coco/bbox_mAP_area_{lo}_{up:.10g}' for lo, up in bounds]
    assert [got[n] for n in names] == [got[f'coco/bbox_mAP_{size}'] for size in 'sml']


def test_octaves(scene):
    coco_gt, dets, path = scene
    metric = ScaleRangeCocoMetric(path, scale_ranges=[(16, 560)], scale_octaves=[16, 100])
    got = evaluated(metric, data_samples_of(coco_gt, dets))
    names = [k for k in got if k.startswith('coco/bbox_AR')]
    assert names == [f'coco/bbox_AR_{octave}' for octave in ('16_560', '16_32', '32_64', '64_100')]
    coco_dt = load_results(coco_gt, [dict(d) for d in dets])
    results = evaluate_scale_ranges(coco_gt, coco_dt, list(metric.scale_ranges.values()))
    expected = rounded(results, 'bbox', metric.scale_ranges)
    assert {k: got[k] for k in expected} == expected


def test_gts_from_the_data_set(scene):
    coco_gt, dets, _ = scene
    got = evaluated(ScaleRangeCocoMetric(scale_ranges=RANGES), data_samples_of(coco_gt, dets))
    results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, [dict(d) for d in dets]), RANGES)
    expected = rounded(results, 'bbox', ['16_128', '2000_3000'])
    assert {k: got[k] for k in expected} == expected


def test_metric_items_and_no_ranges(scene):
    coco_gt, dets, path = scene
    samples = data_samples_of(coco_gt, dets)
    plain = evaluated(CocoMetric(path), samples)
    assert evaluated(ScaleRangeCocoMetric(path), samples) == plain
    got = evaluated(ScaleRangeCocoMetric(path, metric_items=['mAP_50'], scale_ranges=RANGES[:1]), samples)
    of_range = [f'coco/bbox_{item}_16_128' for item in ('mAP', 'AP50', 'AP75', 'AR')]
    assert list(got) == ['coco/bbox_mAP_50', *of_range]
    assert got['coco/bbox_mAP_50'] == plain['coco/bbox_mAP_50']


@pytest.mark.parametrize('iou_thrs', [0.75, [0.75], [0.5, 0.75]])
def test_iou_thresholds_hold_for_the_ranges(scene, iou_thrs):
    coco_gt, dets, path = scene
    metric = ScaleRangeCocoMetric(path, iou_thrs=iou_thrs, scale_ranges=[(0, None)])
    got = evaluated(metric, data_samples_of(coco_gt, dets))
    standard = evaluated(CocoMetric(path), data_samples_of(coco_gt, dets))
    with_half = isinstance(iou_thrs, list) and 0.5 in iou_thrs
    assert got['coco/bbox_mAP_0_inf'] == got['coco/bbox_mAP']
    assert got['coco/bbox_mAP_75'] == standard['coco/bbox_mAP_75']
    assert got['coco/bbox_mAP_50'] == (standard['coco/bbox_mAP_50'] if with_half else -1)


@pytest.mark.parametrize('with_ann_file', [True, False])
def test_no_detections_give_zeros(scene, scenes, with_ann_file):
    coco_gt, dets, path = scene
    cfg = dict(metric=['bbox', 'segm', 'proposal'], classwise=True, scale_ranges=RANGES)
    if not with_ann_file:
        cfg['metric'] = ['bbox', 'proposal']  # the samples have no masks of gts
    cfg['ann_file'] = path if with_ann_file else None
    full = evaluated(ScaleRangeCocoMetric(**cfg), data_samples_of(coco_gt, dets, with_masks=True))
    empty = evaluated(ScaleRangeCocoMetric(**cfg), data_samples_of(coco_gt, [], with_masks=True))
    assert list(empty) == list(full)
    assert {k for k, v in empty.items() if v == -1} == {k for k, v in full.items() if v == -1}
    assert len([v for v in empty.values() if v == 0]) == len([v for v in full.values() if v > -1]) > 15


def test_no_detections_is_said(scene):
    coco_gt, _, path = scene
    with logged() as lines:
        evaluated(ScaleRangeCocoMetric(path), data_samples_of(coco_gt, []))
    assert any('nothing was detected in any of the 7 images' in line for line in lines)


@pytest.mark.parametrize(('first_id', 'warned'), [(0, True), (1, False)])
def test_annotation_id_0_is_warned_of(tmp_path, first_id, warned):
    """pycocotools takes a match with id 0 for no match."""
    annotation = dict(id=first_id, image_id=1, category_id=1, bbox=[1, 1, 20, 20], area=400, iscrowd=0)
    coco = dict(images=[dict(id=1, width=50, height=50)], annotations=[annotation], categories=[dict(id=1, name='a')])
    (tmp_path / 'gt.json').write_text(json.dumps(coco))
    metric = ScaleRangeCocoMetric(str(tmp_path / 'gt.json'))
    metric.dataset_meta = dict(classes=('a',))
    found = dict(bboxes=torch.tensor([[1.0, 1, 21, 21]]), scores=torch.tensor([0.9]), labels=torch.tensor([0]))
    metric.process({}, [dict(img_id=1, ori_shape=(50, 50), pred_instances=found)])
    with logged() as lines:
        values = metric.evaluate(1)
    assert any('annotation with id 0' in line for line in lines) == warned
    assert values['coco/bbox_mAP'] == (0 if warned else 1)


class logged:
    """Collect what MMDetection logs."""

    def __enter__(self):
        self.lines = []
        self.handler = logging.Handler()
        self.handler.emit = lambda record: self.lines.append(record.getMessage())
        MMLogger.get_current_instance().addHandler(self.handler)
        return self.lines

    def __exit__(self, *_):
        MMLogger.get_current_instance().removeHandler(self.handler)


def test_table(scene):
    coco_gt, dets, path = scene
    with logged() as lines:
        evaluated(ScaleRangeCocoMetric(path, scale_ranges=RANGES), data_samples_of(coco_gt, dets))
    (table,) = [line for line in lines if line.startswith('bbox in scale ranges:')]
    cells = [[cell.strip() for cell in row.strip('|').split('|')] for row in table.splitlines() if '|' in row]
    result = evaluate_scale_ranges(coco_gt, load_results(coco_gt, [dict(d) for d in dets]), RANGES)[0]
    assert cells[0] == ['scale range', 'objects', 'AP', 'AP50', 'AP75', 'AR']
    assert cells[1] == ['16_128', str(result.num_gts), *(f'{v:.3f}' for v in result[:4])]
    assert cells[2] == ['2000_3000', '0', '-1.000', '-1.000', '-1.000', '-1.000']


def test_format_only_writes_what_pycocotools_loads(scene, tmp_path):
    coco_gt, dets, path = scene
    # As for test-dev: images and categories, no annotations.
    dataset = {k: v for k, v in coco_gt.dataset.items() if k != 'annotations'}
    test_dev = tmp_path / 'image_info.json'
    test_dev.write_text(json.dumps(dataset))
    prefix = str(tmp_path / 'submission')
    metric = ScaleRangeCocoMetric(
        str(test_dev), ['bbox', 'segm'], format_only=True, outfile_prefix=prefix, scale_ranges=RANGES
    )
    assert evaluated(metric, data_samples_of(coco_gt, dets, with_masks=True)) == {}
    for iou_type, result_type in (('bbox', 'bbox'), ('segm', 'segm')):
        coco_dt = COCO(path).loadRes(f'{prefix}.{result_type}.json')
        got = evaluate_scale_ranges(coco_gt, coco_dt, RANGES, iou_type)
        expected = evaluate_scale_ranges(coco_gt, load_results(coco_gt, [dict(d) for d in dets]), RANGES, iou_type)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)
    masks = json.loads(Path(f'{prefix}.segm.json').read_text())
    assert len(masks) == len(dets) and not any('bbox' in record for record in masks)


def test_format_only_without_detections(scene, tmp_path):
    coco_gt, _, path = scene
    prefix = str(tmp_path / 'submission')
    metric = ScaleRangeCocoMetric(path, format_only=True, outfile_prefix=prefix)
    assert evaluated(metric, data_samples_of(coco_gt, [])) == {}
    assert json.loads(Path(f'{prefix}.bbox.json').read_text()) == []


@pytest.mark.parametrize('keep_files', [True, False])
def test_results_are_written_once_and_cleaned_up(scene, tmp_path, monkeypatch, keep_files):
    coco_gt, dets, path = scene
    written = []
    original = CocoMetric.results2json

    def results2json(self, results, outfile_prefix):
        written.append(outfile_prefix)
        return original(self, results, outfile_prefix)

    monkeypatch.setattr(CocoMetric, 'results2json', results2json)
    prefix = str(tmp_path / 'kept') if keep_files else None
    metric = ScaleRangeCocoMetric(path, scale_ranges=RANGES, outfile_prefix=prefix)
    evaluated(metric, data_samples_of(coco_gt, dets))
    assert len(written) == 1
    assert metric.outfile_prefix == prefix
    assert Path(f'{written[0]}.bbox.json').exists() == keep_files


def test_failure_leaves_no_temporary_prefix(scene):
    coco_gt, dets, path = scene
    metric = ScaleRangeCocoMetric(path, metric='segm', scale_ranges=RANGES)
    with pytest.raises(KeyError, match='segm is not in results'):
        evaluated(metric, data_samples_of(coco_gt, dets))
    assert metric.outfile_prefix is None


def test_two_ranks_equal_one(scene):
    coco_gt, dets, path = scene
    samples = data_samples_of(coco_gt, dets, with_masks=True)
    cfg = dict(ann_file=path, metric=['bbox', 'segm'], scale_ranges=RANGES)
    one = evaluated(ScaleRangeCocoMetric(**cfg), samples)
    ranks = [ScaleRangeCocoMetric(**cfg) for _ in range(2)]
    padded = [*samples, samples[0]]  # the sampler repeats a sample to fill the last batch
    for rank, metric in enumerate(ranks):
        metric.dataset_meta = dict(classes=CLASSES)
        metric.process({}, padded[rank::2])
    # As collect_results does: interleaved, then cut to the size of the data set.
    merged = [result for pair in zip(ranks[0].results, ranks[1].results) for result in pair][: len(samples)]
    ranks[0].results = merged
    assert ranks[0].evaluate(len(samples)) == one


@pytest.mark.parametrize(
    ('kwargs', 'quoted'),
    [
        (dict(scale_ranges=[(560, 16)]), r'\[560.0, 16.0\]'),
        (dict(scale_ranges=(16, 560)), '16'),
        (dict(scale_ranges='all'), "'all'"),
        (dict(scale_ranges=[dict(lower=1, uper=2)]), 'uper'),
        (dict(scale_ranges=[ScaleRange(16, 560)]), r'\[16, 560\] px \(sqrt_box, view\)'),
        (dict(scale_ranges=[dict(lower=16, frame='view')]), r'\[16, inf\] px \(sqrt_box, view\)'),
        (dict(scale_ranges=[(16, 32), (16, 32)]), "'16_32'"),
        (dict(scale_ranges=[(16, 32)], scale_octaves=(16, 64)), "'16_32'"),
        (dict(scale_octaves=(64, 16)), r'\[64.0, 16.0\]'),
        (dict(scale_octaves=(0, 16)), r'\(0, 16\)'),
        (dict(scale_octaves=(16, None)), 'None'),
        (dict(scale_octaves=16), 'got 16'),
        (dict(metric_items=['mAP', 'mAP_16_560'], scale_ranges=[(16, 560)]), "'mAP_16_560'"),
        (dict(metric='proposal', scale_ranges=[(16, 560)]), "'proposal'"),
    ],
)
def test_bad_arguments(kwargs, quoted):
    with pytest.raises(ValueError, match=quoted):
        ScaleRangeCocoMetric(**kwargs)


def test_unknown_metric_and_option():
    with pytest.raises(KeyError, match='boxes'):
        ScaleRangeCocoMetric(metric='boxes')
    with pytest.raises(TypeError, match='scale_range'):
        ScaleRangeCocoMetric(scale_range=(16, 560))
