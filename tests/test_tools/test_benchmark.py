import csv
import importlib.util
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS
from mmengine.structures import InstanceData

from mmisn.chips import CoverChips
from mmisn.datasets import ChipDataset
from mmisn.models.test_time_augs import merge_views
from mmisn.structures import Chip
from mmisn.testing.benchmarks import (
    CocoFolder,
    Row,
    Target,
    assigning,
    coco_like,
    find_coco_folder,
    interleaved,
    merging,
    pixels,
    planning,
    report_csv,
    report_markdown,
    timing,
    write_coco_like,
)
from mmisn.testing.benchmarks.plain_python import greedy_cover_sparse, plain_plan
from mmisn.testing.cover_reference import encloses, greedy_cover_reference

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('benchmark_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def toy_folder(root, monkeypatch, sizes_wh):
    """Three images, each with one object of 100x100 px at (10, 10)."""
    objects = [coco_like.ImageObjects(wh, np.array([[10.0, 10, 110, 110]])) for wh in sizes_wh]
    monkeypatch.setattr(coco_like, 'coco_like_objects', lambda number, rng: objects)
    return write_coco_like(root / 'toy', len(objects), np.random.default_rng(0))


# Pixels.


def test_whole_images_and_chips_through_the_samplers(tmp_path, monkeypatch):
    folder = toy_folder(tmp_path, monkeypatch, [(640, 480), (640, 480), (480, 640)])
    images = DATASETS.build(dict(**folder.dataset_cfg(), pipeline=[]))
    # 1067x800 twice and 800x1067; too few for a batch of four of one orientation, so all three make one batch.
    padded, plain = pixels.whole_image_pixels(pixels.SINGLE_SCALE, images)
    assert (padded, plain) == (1088 * 1088, 1067 * 800)
    # At half size: 320x240 twice and 240x320.
    assert pixels.whole_image_pixels(pixels.SINGLE_SCALE, images, 0.5) == (320 * 320, 320 * 240)

    generator = dict(type='CoverChips', factors=(4.0, 2.0, 1.0, 0.5, 0.25), scale_range=(16, 560), chip_size=576)
    chips = ChipDataset(folder.dataset_cfg(), generator, [], cache_dir='')
    # Sorted by height, then width, in fours, the last batch filled up with a chip of its own size.
    batches = [
        [(160, 120), (160, 120), (120, 160), (320, 240)],  # padded to 320x256
        [(320, 240), (240, 320), (576, 480), (576, 480)],  # 576x480
        [(480, 576), (576, 576), (576, 576), (576, 576)],  # 576x576
        [(576, 576)] * 4,
    ]
    assert sorted(map(tuple, chips.view_sizes_wh.tolist())) == sorted(sum(batches, [])[:-1])
    padded, plain = pixels.chip_pixels(chips, None)
    assert padded == pytest.approx(4 * (320 * 256 + 576 * 480 + 2 * 576 * 576) / 3)
    assert plain == pytest.approx(sum(w * h for batch in batches for w, h in batch) / 3)


def test_pixel_rows_take_single_scale_as_the_yardstick(tmp_path, monkeypatch):
    folder = toy_folder(tmp_path, monkeypatch, [(640, 480), (640, 480), (480, 640)])
    rows = pixels.pixel_rows(folder)
    single, isn = rows[0], rows[2]
    assert single.ratio == 1
    chips = 4 * (320 * 256 + 576 * 480 + 2 * 576 * 576)
    assert isn.ratio == pytest.approx(chips / (3 * 1088 * 1088))
    shares = {row.what.split('w = ')[1].split(',')[0]: row.ratio for row in rows if 'ISN chips at' in row.what}
    total = 6 * 576**2 + 3 * (576 * 480 + 320 * 240 + 160 * 120)
    assert shares == pytest.approx(
        {
            '4': 3 * 576**2 / total,
            '2': 3 * 576**2 / total,
            '1': 3 * 576 * 480 / total,
            '0.5': 3 * 320 * 240 / total,
            '0.25': 3 * 160 * 120 / total,
        }
    )


# The table.


def test_report_markdown():
    rows = [
        Row('a|b', '1 ms', 'mmdet, 2 ms', 2.0, Target(2, at_least=True)),
        Row('c', '7 Mpx', 'single', 1.5, Target(1.3, at_least=False), 'x the pixels'),
        Row('d', '3'),
    ]
    assert report_markdown(rows) == (
        '| what | ours  | yardstick   | ratio            | target              |\n'
        '| ---- | ----- | ----------- | ---------------- | ------------------- |\n'
        '| a\\|b | 1 ms  | mmdet, 2 ms | 2 x as fast      | at least 2: met     |\n'
        '| c    | 7 Mpx | single      | 1.5 x the pixels | at most 1.3: MISSED |\n'
        '| d    | 3     |             |                  |                     |\n'
    )


def test_csv_keeps_the_full_ratio(tmp_path):
    report_csv([Row('a,b', '1 ms', 'x', 1 / 3, Target(1, at_least=True)), Row('c', '2')], tmp_path / 't.csv')
    with open(tmp_path / 't.csv', newline='', encoding='utf-8') as file:
        rows = list(csv.DictReader(file))
    assert rows[0] == dict(
        what='a,b',
        ours='1 ms',
        yardstick='x',
        ratio=repr(1 / 3),
        ratio_is='x as fast',
        target='at least 1',
        met='False',
    )
    assert rows[1] == dict(what='c', ours='2', yardstick='', ratio='', ratio_is='', target='', met='')


@pytest.mark.parametrize(
    ('target', 'ratio', 'met'),
    [
        (Target(2, at_least=True), 2.0, True),
        (Target(2, at_least=True), 1.999, False),
        (Target(1.3, at_least=False), 1.3, True),
        (Target(1.3, at_least=False), 1.301, False),
    ],
)
def test_a_bound_meets_itself(target, ratio, met):
    assert target.is_met(ratio) is met


def test_main_prints_and_writes_the_table(tool, tmp_path, monkeypatch, capsys):
    seen = {}

    def measure(args, folder, real, console):
        seen.update(sections=args.sections, images=len(folder.objects()), real=real)
        return [Row('x', '1', 'y', 3.0)]

    monkeypatch.setattr(tool, 'run_sections', measure)
    monkeypatch.setattr(tool, 'find_coco_folder', lambda folder: None)
    monkeypatch.setattr(tool, 'NUM_DRAWN', 3)
    tool.main(['merging', 'planning', '--out', str(tmp_path / 'new' / 'table')])
    assert seen == dict(sections=('planning', 'merging'), images=3, real=False)
    table = report_markdown([Row('x', '1', 'y', 3.0)])
    assert capsys.readouterr().out.startswith(table)
    assert (tmp_path / 'new' / 'table.md').read_text().startswith(table)
    assert (tmp_path / 'new' / 'table.csv').read_text().splitlines()[1] == 'x,1,y,3.0,x as fast,,'


@pytest.mark.parametrize('argv', [['mergin'], ['merging', '--rounds', '0']])
def test_unknown_options_end_the_tool(tool, argv, capsys):
    with pytest.raises(SystemExit) as raised:
        tool.parse_args(argv)
    assert raised.value.code == 2
    assert argv[-1] in capsys.readouterr().err


# Timing.


def test_interleaved_takes_the_shortest_time_per_item(monkeypatch):
    clock, calls = [0.0], []
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: clock[0])
    # Seconds of each call on each item; the first call of all is not timed.
    durations = dict(a={1: [0, 5, 2, 9], 2: [0, 4, 4, 4]}, b={1: [0, 1, 1, 1], 2: [0, 8, 7, 6]})

    def function(name):
        def run(item):
            calls.append((name, item))
            clock[0] += durations[name][item].pop(0)

        return run

    assert interleaved(dict(a=function('a'), b=function('b')), [1, 2], 3) == dict(a=(2 + 4) / 2, b=(1 + 6) / 2)
    assert calls == [('a', 1), ('b', 1), ('a', 2), ('b', 2)] * 4


@pytest.mark.parametrize(('items', 'rounds'), [([1], 0), ([], 3)])
def test_interleaved_needs_something_to_do(items, rounds):
    with pytest.raises(ValueError, match=f'got {rounds} and {len(items)}'):
        interleaved(dict(a=print), items, rounds)


# Images that are like COCO's.


def test_coco_like_objects_are_deterministic():
    first, second = (coco_like.coco_like_objects(30, np.random.default_rng(5)) for _ in range(2))
    other = coco_like.coco_like_objects(30, np.random.default_rng(6))
    assert [o.image_wh for o in first] == [o.image_wh for o in second]
    assert all((a.boxes_xyxy == b.boxes_xyxy).all() for a, b in zip(first, second))
    assert [len(o.boxes_xyxy) for o in first] != [len(o.boxes_xyxy) for o in other]


def test_coco_like_objects_have_the_documented_distribution():
    images = coco_like.coco_like_objects(8000, np.random.default_rng(0))
    counts = np.array([len(o.boxes_xyxy) for o in images])
    # A geometric distribution: its mean is known to 6.8 / sqrt(8000) = 0.08.
    assert counts.min() == 1
    assert abs(counts.mean() - coco_like.MEAN_OBJECTS) < 0.3
    for width, height, share in coco_like.SIZES:
        found = np.mean([o.image_wh == (width, height) for o in images])
        assert abs(found - share) < 0.02
    for objects in images[:200]:
        assert (objects.boxes_xyxy >= 0).all()
        assert (objects.boxes_xyxy[:, 2:] <= np.array(objects.image_wh) + 1e-9).all()
        assert (objects.boxes_xyxy[:, 2:] > objects.boxes_xyxy[:, :2]).all()


def test_coco_like_scales_are_log_normal():
    boxes = coco_like.coco_like_objects(1, np.random.default_rng(0), (9000, 9000), 20_000)[0].boxes_xyxy
    sides = boxes[:, 2:] - boxes[:, :2]
    log_scale, log_aspect = np.log(sides.prod(axis=1)) / 2, np.log(sides[:, 0] / sides[:, 1])
    assert np.exp(np.median(log_scale)) == pytest.approx(coco_like.MEDIAN_SCALE, rel=0.03)
    assert log_scale.std() == pytest.approx(coco_like.LOG_SCALE_STD, rel=0.03)
    assert log_aspect.std() == pytest.approx(coco_like.LOG_ASPECT_STD, rel=0.03)


def test_a_written_data_set_is_read_back(tmp_path):
    drawn = coco_like.coco_like_objects(3, np.random.default_rng(1))
    folder = write_coco_like(tmp_path / 'drawn', 3, np.random.default_rng(1))
    assert find_coco_folder(str(tmp_path / 'drawn')) == CocoFolder(folder.root, folder.ann_file, 'drawn')
    for path, was, read in zip(sorted((folder.root / 'images').iterdir()), drawn, folder.objects()):
        assert read.image_wh == was.image_wh == cv2.imread(str(path)).shape[1::-1]
        np.testing.assert_allclose(read.boxes_xyxy, was.boxes_xyxy, rtol=0, atol=1e-9)


def test_a_folder_without_annotations_is_refused(tmp_path):
    (tmp_path / 'images').mkdir()
    with pytest.raises(ValueError, match='instances_train'):
        find_coco_folder(str(tmp_path))


# Yardsticks do the work that they stand for.


def test_sparse_greedy_cover_takes_a_best_candidate_each_time():
    rng = np.random.default_rng(0)
    for _ in range(30):
        xs, ys = (np.unique(rng.integers(0, 60, 6)).tolist() for _ in range(2))
        corners = rng.integers(0, 70, (8, 2))
        boxes = np.concatenate([corners, corners + rng.integers(1, 25, (8, 2))], axis=1).tolist()
        left = set(range(8))
        for corner, covered in greedy_cover_sparse(xs, ys, (30, 20), boxes):
            gains = {(x, y): {i for i in left if encloses((x, y), (30, 20), boxes[i])} for x in xs for y in ys}
            assert set(covered) == gains[corner]
            assert len(covered) == max(map(len, gains.values())) > 0
            left -= set(covered)
        reachable = {i for _, held in greedy_cover_reference(xs, ys, (30, 20), boxes) for i in held}
        assert left == set(range(8)) - reachable


@pytest.mark.parametrize('greedy', [greedy_cover_reference, greedy_cover_sparse])
def test_plain_plan_encloses_what_cover_chips_encloses(greedy):
    generator = CoverChips((4, 2, 1, 0.5, 0.25), (16, 560))
    for objects in coco_like.coco_like_objects(10, np.random.default_rng(3)):
        plan = generator.plan(objects.image_wh, objects.boxes_xyxy, np.random.default_rng(0))
        boxes = objects.boxes_xyxy.tolist()
        corners = plain_plan(generator, objects.image_wh, boxes, random.Random(0), greedy)
        for level, chosen in enumerate(corners):
            wanted = set(plan.in_range[level].tolist()) - set(plan.not_enclosed[level].tolist())
            of_level = [chip for chip, at in zip(plan.chips, plan.levels) if at == level]
            rect_wh = of_level[0].wh if of_level else None
            enclosed = {i for i in wanted for corner in chosen if encloses(corner, rect_wh, boxes[i])}
            assert enclosed == wanted
            assert bool(chosen) == bool(wanted)


def test_the_merging_yardstick_gives_the_same_detections():
    views = merging.drawn_detections(2000, np.random.default_rng(0))
    assert [len(view) for view in views] == [400] * 5
    chips = [Chip.full(merging.IMAGE_WH, (320, 240))] * 5
    ours = merge_views(list(zip(chips, views)), merging.IMAGE_WH, nms=merging.NMS, max_per_img=100)
    theirs = merging.merge_with_mmdet(merging.build_mmdet_model(100), views)
    torch.testing.assert_close(ours.scores, theirs.scores, rtol=0, atol=1e-5)
    torch.testing.assert_close(ours.bboxes, theirs.bboxes, rtol=0, atol=1e-2)
    assert [len(view) for view in views] == [400] * 5


def test_the_assigning_yardstick_assigns_the_same():
    anchors = assigning.anchors_of_chip()
    # Three anchors at each place of five levels.
    assert len(anchors) == 3 * (144**2 + 72**2 + 36**2 + 18**2 + 9**2)
    priors = InstanceData(priors=anchors)
    valid = InstanceData(bboxes=torch.tensor([[100.0, 90, 160, 170]]), labels=torch.tensor([79]))
    ignored = InstanceData(bboxes=torch.tensor([[300.0, 300, 420, 430]]))
    results = {name: a.assign(priors, valid, ignored) for name, a in assigning.assigners().items()}
    assert set(results['ours'].gt_inds.unique().tolist()) == {-1, 0, 1}
    for field in ('gt_inds', 'labels', 'max_overlaps'):
        assert torch.equal(getattr(results['ours'], field), getattr(results['mmdet'], field))


def test_sniper_boxes_fit_its_chips():
    boxes = planning.enclosable_boxes((1067, 800), 7, 454, 20)
    assert [b.shape for b in boxes] == [(7, 4)] * 20
    assert max((b[:, 2:] - b[:, :2]).max() for b in boxes) < 454
