import copy
import json
import math

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from mmisn.evaluation import evaluate_scale_ranges, load_results, octave_ranges
from mmisn.evaluation.scale_range_eval import original_range, range_name
from mmisn.structures import ScaleRange
from mmisn.testing import real_data_root

IOU_THRS = np.linspace(0.5, 0.95, 10)
AREA_RANGES = [dict(measure='mask_area', lower=lo, upper=up) for lo, up in ((0, 1e10), (0, 1024), (1024, 9216))]
AREA_RANGES.append(dict(measure='mask_area', lower=9216, upper=1e10))


# The COCO protocol, written from its description; nothing of pycocotools but the decoding of masks.


def box_iou(det, gt):
    (x, y, w, h), (a, b, c, d) = det['bbox'], gt['bbox']
    inter = max(0.0, min(x + w, a + c) - max(x, a)) * max(0.0, min(y + h, b + d) - max(y, b))
    return inter / (w * h if gt['iscrowd'] else w * h + c * d - inter)


def mask_iou(det, gt):
    inter = np.count_nonzero(det['mask'] & gt['mask'])
    union = np.count_nonzero(det['mask']) if gt['iscrowd'] else np.count_nonzero(det['mask'] | gt['mask'])
    return inter / union if union else 0.0


def match_image(dets, gts, ignored, ious, thr):
    """For detections in descending order of score: +1 right, -1 wrong, 0 matched to an ignored gt."""
    taken, verdicts = set(), []
    for d in range(len(dets)):
        verdict = -1
        for wanted in (False, True):
            free = [g for g in range(len(gts)) if ignored[g] == wanted and (g not in taken or gts[g]['iscrowd'])]
            free = [g for g in free if ious[d][g] >= thr]
            if free:
                taken.add(max(free, key=lambda g: ious[d][g]))
                verdict = 0 if wanted else 1
                break
        verdicts.append(verdict)
    return verdicts


def average_precision(scores, verdicts, num_gts):
    """101-point interpolated precision, and the final recall."""
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    right = wrong = 0
    curve = []
    for i in order:
        right, wrong = right + (verdicts[i] == 1), wrong + (verdicts[i] == -1)
        curve.append((right / num_gts, right / (right + wrong) if right + wrong else 0.0))
    points = [max((p for r, p in curve if r >= level), default=0.0) for level in np.linspace(0, 1, 101)]
    return float(np.mean(points)), right / num_gts


def reference(gts, dets, img_ids, cat_ids, in_range, iou, max_dets=100):
    """AP, AP50, AP75, AR and the number of gts."""
    aps, ars, total = [], [], 0
    for cat in cat_ids:
        images = []
        for img in img_ids:
            mine = [g for g in gts if (g['image_id'], g['category_id']) == (img, cat)]
            found = [d for d in dets if (d['image_id'], d['category_id']) == (img, cat)]
            found = sorted(found, key=lambda d: -d['score'])[:max_dets]
            images.append((found, mine, [[iou(d, g) for g in mine] for d in found]))
        ignored = [[bool(g['iscrowd']) or not in_range(g) for g in mine] for _, mine, _ in images]
        num_gts = sum(not flag for flags in ignored for flag in flags)
        total += num_gts
        if num_gts == 0:
            continue
        for thr in IOU_THRS:
            scores, verdicts = [], []
            for (found, mine, ious), flags in zip(images, ignored):
                for det, verdict in zip(found, match_image(found, mine, flags, ious, thr)):
                    scores.append(det['score'])
                    verdicts.append(0 if verdict == -1 and not in_range(det) else verdict)
            ap, ar = average_precision(scores, verdicts, num_gts)
            aps.append(ap)
            ars.append(ar)
    if not aps:
        return -1.0, -1.0, -1.0, -1.0, 0
    aps = np.array(aps).reshape(-1, 10)
    return aps.mean(), aps[:, 0].mean(), aps[:, 5].mean(), np.mean(ars), total


def by_sqrt_box(lower, upper):
    return lambda ann: lower <= math.sqrt(ann['bbox'][2] * ann['bbox'][3]) <= upper


def standard_stats(coco_gt, coco_dt, iou_type):
    evaluator = COCOeval(coco_gt, coco_dt, iou_type)
    evaluator.evaluate()
    evaluator.accumulate()
    evaluator.summarize()
    return evaluator.stats


def results_of(coco_gt, dets, iou_type='bbox'):
    """Detections as MMDetection loads them: no boxes beside masks."""
    dets = copy.deepcopy(dets)
    for det in dets:
        det.pop('bbox' if iou_type == 'segm' else 'segmentation', None)
    return load_results(coco_gt, dets)


def range_stats(coco_gt, coco_dt, iou_type):
    """COCO's twelve numbers, from scale ranges."""
    ranges = AREA_RANGES
    every, small, medium, large = evaluate_scale_ranges(coco_gt, coco_dt, ranges, iou_type)
    few = [evaluate_scale_ranges(coco_gt, coco_dt, ranges[:1], iou_type, max_dets=n)[0].ar for n in (1, 10)]
    return [
        *(every.ap, every.ap50, every.ap75, small.ap, medium.ap, large.ap),
        *(*few, every.ar, small.ar, medium.ar, large.ar),
    ]


@pytest.fixture
def toy(scenes):
    """Gts of scale 20 and 100 in class 9, the last; a wrong box of scale 30 above two exact detections."""
    boxes = dict(small=[10.0, 10.0, 25.0, 16.0], large=[200.0, 100.0, 100.0, 100.0], wrong=[100.0, 20.0, 30.0, 30.0])
    gts = [
        dict(id=i, image_id=1, category_id=9, iscrowd=0, bbox=boxes[name], area=1.0)
        for i, name in enumerate(('small', 'large'), 1)
    ]
    dets = [
        dict(image_id=1, category_id=9, bbox=boxes[name], score=score)
        for name, score in (('small', 0.9), ('large', 0.8), ('wrong', 0.95))
    ]
    return scenes.build_coco([1, 2], gts), dets


@pytest.mark.parametrize(
    ('bounds', 'ap', 'ar', 'num_gts'),
    [
        ((16, 50), 1 / 2, 1.0, 1),  # wrong, right; the large gt and its detection do not count
        ((16, 25), 1.0, 1.0, 1),  # the wrong box is out of range
        ((60, 100), 1.0, 1.0, 1),  # exactly on the upper bound
        ((20, 100), 2 / 3, 1.0, 2),  # exactly on both bounds: wrong, right, right
        ((20, 30), 1 / 2, 1.0, 1),  # the wrong box exactly on the upper bound
        ((math.nextafter(20, 21), 99.9), -1.0, -1.0, 0),
        ((0, None), 2 / 3, 1.0, 2),
        ((200, 300), -1.0, -1.0, 0),
    ],
)
def test_by_hand(toy, bounds, ap, ar, num_gts):
    coco_gt, dets = toy
    (result,) = evaluate_scale_ranges(coco_gt, load_results(coco_gt, dets), [bounds])
    assert result == pytest.approx((ap, ap, ap, ar, num_gts), abs=1e-12)


def test_thresholds_by_hand(scenes):
    gt = dict(id=1, image_id=1, category_id=3, iscrowd=0, bbox=[0.0, 0.0, 100.0, 10.0], area=1000.0)
    coco_gt = scenes.build_coco([1], [gt])
    det = dict(image_id=1, category_id=3, bbox=[0.0, 0.0, 62.0, 10.0], score=0.5)  # IoU 0.62: 0.5, 0.55 and 0.6
    coco_dt = load_results(coco_gt, [det])
    (result,) = evaluate_scale_ranges(coco_gt, coco_dt, [(16, 560)])
    assert result == pytest.approx((0.3, 1.0, 0.0, 0.3, 1))
    (result,) = evaluate_scale_ranges(coco_gt, coco_dt, [(16, 560)], iou_thrs=0.75)
    assert result == (0.0, -1.0, 0.0, 0.0, 1)


def test_scale_on_the_bound_does_not_suffer_from_the_position(scenes):
    # A width computed from corners would be above 16.
    assert 16.2 + 16 - 16.2 > 16
    gt = dict(id=1, image_id=1, category_id=3, iscrowd=0, bbox=[16.2, 16.2, 16.0, 16.0], area=1.0)
    coco_gt = scenes.build_coco([1], [gt])
    results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, []), [(8, 16), (16, 32)])
    assert [r.num_gts for r in results] == [1, 1]


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
@pytest.mark.parametrize('seed', range(3))
def test_area_ranges_equal_the_standard_twelve(scenes, seed, iou_type):
    coco_gt, dets = scenes.random_scene(seed)
    coco_dt = results_of(coco_gt, dets, iou_type)
    got = range_stats(coco_gt, coco_dt, iou_type)
    expected = standard_stats(coco_gt, coco_dt, iou_type)
    assert (expected > -1).all()
    assert 0.02 < expected[0] < 0.9
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_infinite_range_equals_standard_ap(scenes):
    coco_gt, dets = scenes.random_scene(5)
    coco_dt = results_of(coco_gt, dets)
    stats = standard_stats(coco_gt, coco_dt, 'bbox')
    for everything in (None, (0, None), ScaleRange(frame='original')):
        (result,) = evaluate_scale_ranges(coco_gt, coco_dt, [everything])
        assert result[:4] == (stats[0], stats[1], stats[2], stats[8])


@pytest.mark.parametrize('max_dets', [2, 100])
@pytest.mark.parametrize('seed', range(3))
def test_box_ranges_equal_an_independent_computation(scenes, seed, max_dets):
    coco_gt, dets = scenes.random_scene(10 + seed)
    bounds = [(16, 128), (0, 16), (64, 1e5), (30, 40), (2, 600)]
    results = evaluate_scale_ranges(coco_gt, results_of(coco_gt, dets), bounds, max_dets=max_dets)
    for result, (lower, upper) in zip(results, bounds):
        expected = reference(
            *(coco_gt.dataset['annotations'], dets, range(1, 8), scenes.cat_ids, by_sqrt_box(lower, upper), box_iou),
            max_dets=max_dets,
        )
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
    assert len({r.ap for r in results}) > 2


def test_chosen_images_and_categories(scenes):
    coco_gt, dets = scenes.random_scene(20)
    kwargs = dict(img_ids=[7, 3, 1], cat_ids=[9, 3])
    (result,) = evaluate_scale_ranges(coco_gt, results_of(coco_gt, dets), [(16, 200)], **kwargs)
    expected = reference(coco_gt.dataset['annotations'], dets, [1, 3, 7], [3, 9], by_sqrt_box(16, 200), box_iou)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


def test_mask_ranges_by_box_equal_an_independent_computation(scenes):
    coco_gt, dets = scenes.random_scene(30)
    gts = [dict(g, mask=coco_gt.annToMask(g).astype(bool)) for g in coco_gt.dataset['annotations']]
    # A detection is judged by the box around its mask, whatever box stands beside it.
    masks = [dict(d, mask=mask_utils.decode(d['segmentation']).astype(bool)) for d in dets]
    for det in masks:
        rows, columns = np.nonzero(det['mask'])
        det['bbox'] = [0, 0, np.ptp(columns) + 1, np.ptp(rows) + 1] if len(rows) else [0, 0, 0, 0]
    bounds = [(16, 80), (50, 400)]
    for with_boxes in (False, True):
        coco_dt = load_results(coco_gt, copy.deepcopy(dets)) if with_boxes else results_of(coco_gt, dets, 'segm')
        for result, (lower, upper) in zip(evaluate_scale_ranges(coco_gt, coco_dt, bounds, 'segm'), bounds):
            expected = reference(gts, masks, range(1, 8), scenes.cat_ids, by_sqrt_box(lower, upper), mask_iou)
            np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)


def test_measures_differ_and_mix(scenes):
    # A diamond in a 100 x 100 box: scale 100, mask area 5000.
    box = [50.0, 50.0, 100.0, 100.0]
    polygon = scenes.diamond(box)
    gt = dict(id=1, image_id=1, category_id=3, iscrowd=0, bbox=box, segmentation=[polygon], area=5000.0)
    coco_gt = scenes.build_coco([1], [gt])
    dets = [dict(image_id=1, category_id=3, segmentation=scenes.rle_of(polygon), score=0.5)]
    area = dict(measure='mask_area', lower=4000, upper=6000)
    ranges = [(90, 110), area, (60, 80), dict(area, lower=9000, upper=11000)]
    results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, dets), ranges, 'segm')
    assert [r.num_gts for r in results] == [1, 1, 0, 0]
    assert [r.ap for r in results] == pytest.approx([1, 1, -1, -1])


def test_scale_of_a_mask_is_not_that_of_the_box_beside_it(scenes):
    right, wrong = (scenes.diamond(box) for box in ([10.0, 10.0, 40.0, 40.0], [200.0, 10.0, 30.0, 30.0]))
    gt = dict(id=1, image_id=1, category_id=3, iscrowd=0, bbox=[10.0, 10.0, 40.0, 40.0], area=800.0)
    coco_gt = scenes.build_coco([1], [dict(gt, segmentation=[right])])
    dets = [
        dict(image_id=1, category_id=3, segmentation=scenes.rle_of(mask), score=score, bbox=[0.0, 0.0, 300.0, 300.0])
        for mask, score in ((wrong, 0.9), (right, 0.8))
    ]
    # The wrong mask of scale 30 and area 450 counts where it is in range: wrong, right.
    areas = [dict(lower=lower, upper=1000, measure='mask_area') for lower in (400, 600)]
    results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, dets), [(20, 50), (35, 50), *areas], 'segm')
    assert [r.ap for r in results] == pytest.approx([0.5, 1, 0.5, 1])


def random_people(scenes, seed):
    """Persons with 17 keypoints, one of them without any marked, and moved copies as detections."""
    rng = np.random.default_rng(seed)
    anns, dets = [], []
    for i in range(24):
        image_id, scale = 1 + i % 4, 2 ** rng.uniform(4.5, 7.5)
        xy = rng.uniform(0, 150, 2)
        points = xy + rng.uniform(0, 1, (17, 2)) * scale
        visible = rng.integers(0, 3, 17) if i else np.zeros(17, int)
        wh = points.max(0) - points.min(0)
        anns.append(
            dict(
                id=i + 1,
                image_id=image_id,
                category_id=3,
                iscrowd=0,
                bbox=[*points.min(0), *wh],
                area=0.6 * wh.prod(),
                keypoints=np.column_stack([points, visible]).ravel().tolist(),
                num_keypoints=int(np.count_nonzero(visible)),
            )
        )
        moved = points + rng.normal(0, 0.06, (17, 2)) * scale
        keypoints = np.column_stack([moved, np.ones(17)]).ravel().tolist()
        dets.append(dict(image_id=image_id, category_id=3, keypoints=keypoints, score=float(rng.uniform())))
    return scenes.build_coco([1, 2, 3, 4], anns, [3]), dets


def test_keypoints_equal_pycocotools(scenes):
    coco_gt, dets = random_people(scenes, 0)
    coco_dt = load_results(coco_gt, dets)
    expected = standard_stats(coco_gt, coco_dt, 'keypoints')
    assert 0.1 < expected[0] < 0.9
    ranges = [AREA_RANGES[0], *AREA_RANGES[2:], (0, None)]
    every, medium, large, by_box = evaluate_scale_ranges(coco_gt, coco_dt, ranges, 'keypoints')
    got = [every.ap, every.ap50, every.ap75, medium.ap, large.ap, every.ar, medium.ar, large.ar]
    np.testing.assert_allclose(got, expected[[0, 1, 2, 3, 4, 5, 8, 9]], rtol=0, atol=1e-12)
    # The similarity is computed with the true areas, so the measure changes nothing when all are in range.
    assert by_box == every
    assert every.num_gts == 23


@pytest.mark.parametrize('iou_type', ['bbox', 'segm'])
def test_coco_objects_are_left_as_they_are(scenes, iou_type):
    coco_gt, dets = scenes.random_scene(40)
    coco_dt = results_of(coco_gt, dets, iou_type)
    before = repr((coco_gt.dataset, coco_dt.dataset))  # boxes of masks are arrays
    evaluate_scale_ranges(coco_gt, coco_dt, [(16, 128), AREA_RANGES[1]], iou_type)
    assert repr((coco_gt.dataset, coco_dt.dataset)) == before
    assert all(coco_gt.anns[a['id']] is a for a in coco_gt.dataset['annotations'])


def test_no_detections(scenes):
    coco_gt, _ = scenes.random_scene(50)
    for iou_type in ('bbox', 'segm'):
        results = evaluate_scale_ranges(coco_gt, load_results(coco_gt, []), [(16, 560), (2000, 3000)], iou_type)
        assert results[0][:4] == (0, 0, 0, 0)
        assert results[0].num_gts > 10
        assert results[1] == (-1, -1, -1, -1, 0)


def test_no_objects(scenes):
    coco_gt = scenes.build_coco([1], [])
    det = dict(image_id=1, category_id=3, bbox=[0, 0, 20, 20], score=0.5)
    for dets in ([], [det]):
        (result,) = evaluate_scale_ranges(coco_gt, load_results(coco_gt, dets), [(16, 560)])
        assert result == (-1, -1, -1, -1, 0)


def test_no_ranges(toy):
    assert evaluate_scale_ranges(toy[0], load_results(*toy), []) == []


def test_prints_nothing(toy, capsys):
    coco_dt = load_results(*toy)
    capsys.readouterr()
    evaluate_scale_ranges(toy[0], coco_dt, [(16, 560)])
    assert capsys.readouterr().out == ''


def test_octaves_hold_each_scale_once():
    octaves = octave_ranges(16, 100)
    assert [range_name(r) for r in octaves] == ['16_32', '32_64', '64_100']
    assert [sum(r.contains(s) for r in octaves) for s in (15.9, 16, 31.9, 32, 64, 100, 100.1)] == [0, 1, 1, 1, 1, 1, 0]
    assert octaves[1].contains(32)
    assert octaves[2].contains(64)
    scales = np.random.default_rng(0).uniform(16, 100, 1000)
    assert (np.sum([r.contains(scales) for r in octaves], axis=0) == 1).all()
    assert [range_name(r) for r in octave_ranges(8, 32)] == ['8_16', '16_32']
    assert [range_name(r) for r in octave_ranges(8, 9)] == ['8_9']


@pytest.mark.parametrize(
    ('cfg', 'name'),
    [
        ((16, 560), '16_560'),
        ([96, None], '96_inf'),
        ((0.5, 1234567), '0.5_1234567'),
        (dict(lower=1024, upper=9216, measure='mask_area'), 'area_1024_9216'),
    ],
)
def test_names_and_frame(cfg, name):
    scale_range = original_range(cfg)
    assert range_name(scale_range) == name
    assert scale_range.frame == 'original'


@pytest.mark.parametrize(
    ('cfg', 'quoted'),
    [
        ((560, 16), r'\[560.0, 16.0\]'),
        ((16, 16), r'\[16.0, 16.0\]'),
        ((-1, 16), r'\[-1.0, 16.0\]'),
        ('small', "'small'"),
        ((1, 2, 3), r'\(1, 2, 3\)'),
        (dict(lower=1, high=2), 'high'),
        (dict(lower=1, measure='area'), "'area'"),
        (dict(lower=16, upper=560, frame='view'), r'\[16, 560\] px \(sqrt_box, view\)'),
        (ScaleRange(16, 560), r'\[16, 560\] px \(sqrt_box, view\)'),
        (dict(lower=16, frame='image'), "'image'"),
    ],
)
def test_bad_ranges(toy, cfg, quoted):
    with pytest.raises(ValueError, match=quoted):
        evaluate_scale_ranges(toy[0], toy[0], [(16, 560), cfg])


def test_bad_options(toy):
    with pytest.raises(ValueError, match="'boxes'"):
        evaluate_scale_ranges(toy[0], toy[0], [(16, 560)], 'boxes')
    with pytest.raises(ValueError, match='max_dets must be at least 1, got 0'):
        evaluate_scale_ranges(toy[0], toy[0], [(16, 560)], max_dets=0)
    for pair in ((0, 560), (16, math.inf), (32, 16), (16, 16)):
        with pytest.raises(ValueError, match=str(pair[0])):
            octave_ranges(*pair)


def test_real_annotations():
    root = real_data_root()
    if root is None:
        pytest.skip('no real data: coco_mini was not found')
    path = root / 'coco_mini' / 'annotations' / 'instances_val.json'
    coco_gt = COCO(str(path))
    anns = json.loads(path.read_text())['annotations']
    rng = np.random.default_rng(0)
    dets = []
    for ann in anns:
        for _ in range(rng.integers(0, 3)):
            x, y, w, h = np.array(ann['bbox']) + rng.normal(0, 0.06, 4) * np.array(ann['bbox'])[[2, 3, 2, 3]]
            keys = dict(image_id=ann['image_id'], category_id=ann['category_id'], score=float(rng.uniform()))
            dets.append(dict(keys, bbox=[x, y, w, h]))
    coco_dt = load_results(coco_gt, copy.deepcopy(dets))
    stats = range_stats(coco_gt, coco_dt, 'bbox')
    np.testing.assert_allclose(stats, standard_stats(coco_gt, coco_dt, 'bbox'), rtol=0, atol=1e-12)
    (result,) = evaluate_scale_ranges(coco_gt, coco_dt, [(16, 560)])
    expected = reference(anns, dets, coco_gt.getImgIds(), coco_gt.getCatIds(), by_sqrt_box(16, 560), box_iou)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-9)
    assert 0 < result.num_gts < len(anns)
