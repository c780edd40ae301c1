import json
import multiprocessing
import pickle
import random

import numpy as np
import pytest
from torch.utils.data import DataLoader

from mmisn.datasets import ChipDataset, ChipIndex
from mmisn.datasets.annotation_check import SHORT_POLYGON
from mmisn.datasets.chip_plan import ImageObjects, cached_plan, load_plan, make_plan, plan_key, save_plan
from mmisn.structures import ScaleRange, clip_boxes
from mmisn.testing import real_data_root

GENERATOR = dict(type='CoverChips', factors=[2.0, 1.0, 0.5], scale_range=(16, 90), chip_size=96)
PIPELINE = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='FilterByScale'),
    dict(type='CropChip'),
    dict(type='PackInstanceInputs'),
]
RNG = np.random.default_rng(1)
ANNOTATIONS = [
    (image, int(RNG.integers(3)), [float(v) for v in (*RNG.uniform(0, 150, 2), *RNG.uniform(4, 90, 2))], {})
    for image in range(4)
    for _ in range(6)
] + [(0, 1, [20.0, 20.0, 40.0, 40.0], dict(iscrowd=1))]
IMAGES = [(240, 200), (250, 220), (200, 240), (60, 60), (80, 80)]  # the last one has no objects


@pytest.fixture
def dataset(coco_folder, inner_cfg, tmp_path):
    folder = coco_folder(IMAGES, ANNOTATIONS)

    def make(**changes):
        kwargs = dict(dataset=inner_cfg(folder), generator=GENERATOR, pipeline=PIPELINE, cache_dir=str(tmp_path / 'c'))
        made = ChipDataset(**{**kwargs, **changes})
        made.full_init()
        return made

    return make


def objects_of(dataset, image):
    info = dataset.dataset.get_data_info(image)
    boxes = np.array([i['bbox'] for i in info['instances'] if not i['ignore_flag']], np.float32).reshape(-1, 4)
    return clip_boxes(boxes.astype(float), (info['width'], info['height']))


@pytest.mark.parametrize('epoch', [0, 1, 5])
def test_every_epoch_trains_every_object_at_every_level_in_range(dataset, epoch):
    dataset = dataset()
    plan = dataset.plan
    trained = set()
    for number in range(len(dataset)):
        sample = dataset[ChipIndex(number, epoch, 3)]['data_samples']
        image, level = int(plan.image[number]), int(plan.level[number])
        boxes = sample.chip.boxes_to_image(sample.gt_instances.bboxes.tensor.numpy().astype(float))
        for index, box in enumerate(objects_of(dataset, image)):
            if len(boxes) and np.abs(boxes - box).max(axis=1).min() < 1e-3:
                trained.add((image, level, index))
    expected = set()
    for image in range(len(dataset.dataset)):
        for level, factor in enumerate(GENERATOR['factors']):
            for index, box in enumerate(objects_of(dataset, image)):
                w, h = (box[2:] - box[:2]) * factor
                info = dataset.dataset.get_data_info(image)
                fits = all(side <= max(96, 1) for side in (w, h))
                # Chips of an image smaller than the chip show it whole, so its objects always fit.
                fits = fits or max(info['width'], info['height']) * factor <= 96
                if 16 <= np.sqrt(w * h) <= 90 and fits:
                    expected.add((image, level, index))
    assert trained == expected
    assert len(expected) > 20


def test_crowds_are_ignored_regions(dataset):
    dataset = dataset(flip_prob=0.0, redraw=False)
    crowd = np.array([20.0, 20.0, 60.0, 60.0])
    found = 0
    for number in np.flatnonzero(dataset.plan.image == 0):
        sample = dataset[int(number)]['data_samples']
        boxes = sample.ignored_instances.bboxes.tensor.numpy().astype(float)
        if sample.chip.encloses(crowd):
            found += 1
            assert np.abs(sample.chip.boxes_to_image(boxes) - crowd).max(axis=1).min() < 1e-3
    assert found


def test_samples_follow_from_seed_epoch_and_index_alone(dataset):
    pipeline = [*PIPELINE[:2], dict(type='PhotoMetricDistortion'), *PIPELINE[2:]]
    dataset = dataset(pipeline=pipeline)
    state = np.random.get_state()[1].copy(), random.getstate()
    first = dataset[ChipIndex(5, 2, 9)]
    assert (np.random.get_state()[1] == state[0]).all()
    assert random.getstate() == state[1]
    np.random.seed(77)
    again = pickle.loads(pickle.dumps(dataset))[ChipIndex(5, 2, 9)]
    assert (first['inputs'] == again['inputs']).all()
    assert first['data_samples'].chip == again['data_samples'].chip
    others = [dataset[ChipIndex(5, e, s)] for e, s in ((3, 9), (2, 8))]
    assert all(o['inputs'].shape == first['inputs'].shape for o in others)
    assert all((o['inputs'] != first['inputs']).any() for o in others)


def test_worker_processes_agree_with_the_main_process(dataset):
    dataset = dataset()
    indices = [ChipIndex(i, 4, 1) for i in range(8)]
    loader = DataLoader(dataset, sampler=indices, batch_size=None, num_workers=2)
    for index, sample in zip(indices, loader):
        assert (sample['inputs'] == dataset[index]['inputs']).all()


def test_flips_are_drawn_per_chip_and_epoch(dataset):
    dataset = dataset(flip_prob=0.5)
    flips = [dataset.chip_at(ChipIndex(c, e, 0)).flip for c in range(len(dataset)) for e in range(20)]
    assert 0.4 < np.mean(flips) < 0.6


def test_without_redraw_the_planned_chips_are_used(dataset):
    dataset = dataset(redraw=False, flip_prob=0.0)
    for number in range(len(dataset)):
        assert dataset.chip_at(ChipIndex(number, 7, 7)).xyxy == tuple(dataset.plan.xyxy[number])


def test_plan_does_not_depend_on_the_number_of_processes(monkeypatch):
    rng = np.random.default_rng(0)
    images = []
    for _ in range(40):
        corners = rng.uniform(0, 400, (rng.integers(0, 6), 2))
        images.append(
            ImageObjects((640, 480), np.concatenate([corners, corners + rng.uniform(5, 80, corners.shape)], 1))
        )
    one = make_plan(GENERATOR, images, 1)
    monkeypatch.setattr('mmisn.datasets.chip_plan.MIN_IMAGES_PER_PROCESS', 5)
    two = make_plan(GENERATOR, images, 2)
    for name in one.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert one.totals[0] == sum(len(i.boxes_xyxy) for i in images)


def test_plan_key_names_everything_that_matters():
    images = [ImageObjects((100, 80), np.array([[1.0, 2, 30, 40]])), ImageObjects((100, 80), np.zeros((0, 4)))]
    key = plan_key(GENERATOR, images)
    assert key == plan_key(dict(GENERATOR), list(images))
    others = [
        plan_key({**GENERATOR, 'scale_range': (16, 91)}, images),
        plan_key(GENERATOR, images[::-1]),
        plan_key(GENERATOR, images[:1]),
        plan_key(GENERATOR, [ImageObjects((100, 81), images[0].boxes_xyxy), images[1]]),
        plan_key(GENERATOR, [ImageObjects((100, 80), images[0].boxes_xyxy + 1e-9), images[1]]),
        plan_key(GENERATOR, [ImageObjects((100, 80), images[0].boxes_xyxy, 'elsewhere/a.jpg'), images[1]]),
        plan_key(GENERATOR, images, checked=['digest of the annotation file']),
        plan_key(GENERATOR, images, checked=['digest of another one']),
    ]
    assert len({key, *others}) == 9


def test_cache_is_used_and_a_damaged_file_is_replaced(dataset, tmp_path, monkeypatch):
    first = dataset()
    (path,) = (tmp_path / 'c').glob('*.npz')
    monkeypatch.setattr('mmisn.datasets.chip_dataset.make_plan', lambda *_: pytest.fail('planned although cached'))
    assert np.array_equal(dataset().plan.xyxy, first.plan.xyxy)
    monkeypatch.undo()
    whole = path.read_bytes()
    # A compression method that no zip reader knows: bytes 10 and 11 of each entry of the directory.
    entry = whole.index(b'PK\x01\x02')
    unknown = whole[: entry + 10] + b'\x63\x00' + whole[entry + 12 :]
    for damaged in (unknown, b'', whole[: len(whole) // 2], whole[:200] + b'\xff' * 50 + whole[250:], b'no zip at all'):
        path.write_bytes(damaged)
        assert np.array_equal(dataset().plan.xyxy, first.plan.xyxy)
        assert load_plan(path, path.stem) is not None
    assert [p.name for p in path.parent.iterdir()] == [path.name]  # nothing half-written is left


MASK_PIPELINE = [PIPELINE[0], dict(type='LoadAnnotations', with_bbox=True, with_mask=True), *PIPELINE[2:]]
MASK = [[20, 20, 60, 20, 60, 60]]


def edit(tmp_path, change):
    path = tmp_path / 'annotations.json'
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))


def test_a_kept_plan_is_no_excuse_for_masks_that_broke_since(dataset, tmp_path):
    """Boxes and all else that chips follow from stay as they are."""
    edit(tmp_path, lambda coco: [ann.update(segmentation=MASK) for ann in coco['annotations']])
    first = dataset(pipeline=MASK_PIPELINE).plan
    edit(tmp_path, lambda coco: coco['annotations'][2].update(segmentation=[MASK[0], MASK[0][:4]]))
    second = dataset(pipeline=MASK_PIPELINE).plan
    assert np.array_equal(first.xyxy, second.xyxy)
    assert set(second.left_out) - set(first.left_out) == {f'1 {SHORT_POLYGON}'}
    edit(tmp_path, lambda coco: coco['annotations'][2].update(segmentation=dict(size=[9, 9], counts=[81])))
    with pytest.raises(ValueError, match=r'annotation 3 has a run-length mask of size \[9, 9\]'):
        dataset(pipeline=MASK_PIPELINE)


def test_a_plan_without_a_look_at_files_or_masks_does_not_stand_for_one_with(dataset, tmp_path):
    (tmp_path / 'images' / '000001.png').rename(tmp_path / 'images' / 'elsewhere.png')
    dataset(check_images=False)
    with pytest.raises(ValueError, match='000001.png is missing'):
        dataset()
    dataset(check_images=False)
    with pytest.raises(ValueError, match='no mask to train on'):
        dataset(check_images=False, pipeline=MASK_PIPELINE)


def test_cache_of_another_key_is_not_taken(dataset, tmp_path):
    plan = dataset().plan
    save_plan(plan, tmp_path / 'x.npz', 'key a')
    assert load_plan(tmp_path / 'x.npz', 'key b') is None
    assert len(load_plan(tmp_path / 'x.npz', 'key a')) == len(plan)


def test_a_pickle_in_the_cache_is_not_loaded(tmp_path):
    np.savez(tmp_path / 'x.npz', key=np.array('k'), image=np.array([object()], dtype=object))
    assert load_plan(tmp_path / 'x.npz', 'k') is None


def _write_often(path, plan, start):
    start.wait()
    for _ in range(20):
        cached_plan(path, 'k', lambda: plan)
        save_plan(plan, path, 'k')


def test_processes_that_plan_at_once_never_see_half_a_file(dataset, tmp_path):
    plan = dataset().plan
    context = multiprocessing.get_context('fork')
    start = context.Event()
    path = tmp_path / 'shared.npz'
    writers = [context.Process(target=_write_often, args=(path, plan, start)) for _ in range(3)]
    for writer in writers:
        writer.start()
    start.set()
    seen = 0
    while any(w.is_alive() for w in writers):
        if path.is_file():
            assert load_plan(path, 'k') is not None
            seen += 1
    assert seen
    assert all(w.exitcode == 0 for w in writers)


def test_an_unwritable_cache_costs_a_warning_only(dataset, tmp_path):
    (tmp_path / 'file').write_text('')
    assert len(dataset(cache_dir=str(tmp_path / 'file' / 'below'))) > 0


def test_no_cache(dataset, tmp_path):
    assert len(dataset(cache_dir='')) > 0
    assert not (tmp_path / 'c').exists()


def test_left_out_annotations_and_images_are_reported(dataset):
    dataset = dataset()
    assert dataset.plan.left_out.tolist() == [
        '5 annotations left out: a box that lies off the image',
        '1 images left out by the filter_cfg of the dataset (empty, or too small)',
    ]
    objects, out_of_range, lost = dataset.plan.totals
    assert (objects, out_of_range, lost) == (19, 1, 0)


@pytest.mark.parametrize(
    ('damage', 'match'),
    [
        (lambda f: f.unlink(), 'is missing'),
        (lambda f: f.write_bytes(f.read_bytes()[:900]), 'is truncated'),
    ],
)
def test_bad_image_files_are_named_before_training(dataset, tmp_path, damage, match):
    dataset()
    damage(tmp_path / 'images' / '000001.png')
    with pytest.raises(ValueError, match=f'1 of 4 image files: .*000001.png {match}'):
        dataset(cache_dir='')


def test_sizes_that_disagree_with_the_file(dataset, tmp_path):
    dataset()
    path = tmp_path / 'annotations.json'
    coco = json.loads(path.read_text())
    coco['images'][2]['width'] = 300
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match='000002.png is 200x240 px, but its annotation says 300x240'):
        dataset()


def edit_and_build(dataset, tmp_path, change):
    dataset()
    edit(tmp_path, change)
    dataset()


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda c: c['annotations'].clear(), 'has no annotations'),
        (lambda c: c['annotations'][3].update(bbox=[0, 0, float('nan'), 5]), 'annotation 4 .* must be finite'),
        (lambda c: c['annotations'][3].pop('area'), "annotations 4 has 'area': None"),
        (lambda c: [k.update(name='other') for k in c['categories']], 'none is the same'),
        (lambda c: [a.update(bbox=[1, 1, 2, 2], area=4) for a in c['annotations']], 'no chip to train on'),
    ],
)
def test_bad_annotation_files_give_one_clear_error(dataset, tmp_path, change, match):
    with pytest.raises(ValueError, match=match):
        edit_and_build(dataset, tmp_path, change)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(flip_prob=1.5), r'flip_prob must be in \[0, 1\], got 1.5'),
        (dict(num_procs=0), 'num_procs must be at least 1, got 0'),
    ],
)
def test_bad_options(dataset, changes, match):
    with pytest.raises(ValueError, match=match):
        dataset(**changes)


def test_a_pipeline_that_drops_a_sample_is_an_error(dataset):
    dataset = dataset()
    dataset.pipeline = lambda info: None
    with pytest.raises(ValueError, match='dropped chip 0 of'):
        dataset[0]


@pytest.mark.skipif(real_data_root() is None, reason='real data (MMISN_DATA) is not there')
def test_real_images_with_masks():
    root = real_data_root() / 'coco_mini'
    inner = dict(
        type='CocoDataset',
        data_root=str(root),
        ann_file='annotations/instances_train.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True),
    )
    generator = dict(type='CoverChips', factors=[4.0, 2.0, 1.0, 0.5, 0.25], scale_range=(16, 560), chip_size=576)
    pipeline = [PIPELINE[0], dict(type='LoadAnnotations', with_bbox=True, with_mask=True), *PIPELINE[2:]]
    dataset = ChipDataset(inner, generator, pipeline, cache_dir='')
    for number in np.random.default_rng(0).integers(0, len(dataset), 25):
        sample = dataset[ChipIndex(int(number), 1, 0)]['data_samples']
        boxes = sample.gt_instances.bboxes.tensor.numpy()
        view_range = ScaleRange.build(sample.scale_range)
        assert len(boxes) > 0
        assert view_range.contains_boxes(boxes.astype(float) * (1 + 1e-6)).all()
        # Masks lie where the boxes are: nothing of them outside, up to a pixel of rounding.
        for box, mask in zip(boxes, sample.gt_instances.masks.to_ndarray()):
            ys, xs = np.nonzero(mask)
            if len(xs):
                slack = 1 + max(sample.scale_factor)
                assert xs.min() >= box[0] - slack and xs.max() <= box[2] + slack
                assert ys.min() >= box[1] - slack and ys.max() <= box[3] + slack
