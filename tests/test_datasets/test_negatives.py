"""Negative chips in ``ChipDataset``: which there are and what they train; what is wrong with a file or an option."""

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from negative_records import GENERATOR, IMAGES, LEVELS, PIPELINE, RANGES, records, write

import mmisn.models  # noqa: F401  registers the assigner
from mmisn.chips import CoverChips
from mmisn.datasets import ChipDataset, ChipIndex
from mmisn.datasets.chip_plan import make_plan
from mmisn.datasets.negatives import default_min_proposals
from mmisn.structures import Chip, ScaleRange
from mmisn.testing import real_data_root
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg


def test_positive_chips_are_the_same_with_and_without(with_negatives, filled):
    plain = with_negatives(negatives=None)
    number = len(plain)
    assert not plain.plan.negative.any() and not plain.plan.proposals.any()
    assert filled.plan.negative.tolist() == [False] * number + [True] * (len(filled) - number)
    for name in ('image', 'level', 'slot', 'slots', 'xyxy', 'size_wh', 'view_range', 'in_range', 'totals'):
        of_chips = name not in ('in_range', 'totals')
        ours = getattr(filled.plan, name)
        assert np.array_equal(ours[:number] if of_chips else ours, getattr(plain.plan, name)), name
    for index in range(number):
        a, b = filled[ChipIndex(index, 3, 8)], plain[ChipIndex(index, 3, 8)]
        assert torch.equal(a['inputs'], b['inputs']) and a['data_samples'].chip == b['data_samples'].chip


def test_plan_holds_the_chips_that_the_proposals_ask_for(filled):
    plan, found = filled.plan, records()
    # An image without objects has negative chips, too.
    assert set(plan.image[plan.negative].tolist()) == {0, 1, 2, 3}
    assert not (plan.image[~plan.negative] == 3).any()
    held = np.zeros(3, int)
    for image in range(4):
        for level in range(3):
            of_level = (plan.image == image) & (plan.level == level)
            positive, negative = (plan.xyxy[of_level & (plan.negative == flag)] for flag in (False, True))
            boxes = found[image][2][level][0].astype(np.float32)
            missed = [b for b in boxes if not any(Chip(c, (9, 9)).encloses(b) for c in positive)]
            for xyxy in negative:
                mine = [b for b in missed if Chip(xyxy, (9, 9)).encloses(b)]
                missed = [b for b in missed if not Chip(xyxy, (9, 9)).encloses(b)]
                assert len(mine) >= 4
                held[level] += len(mine)
            slots = plan.slots[of_level & plan.negative]
            assert plan.slot[of_level & plan.negative].tolist() == list(range(len(slots)))
            assert (slots == len(slots)).all()
    assert plan.proposals[:, 2].tolist() == held.tolist() and plan.proposals[:, 0].tolist() == [160] * 3
    text = plan.summary()
    assert f'{plan.negative.sum()} negative chips of 4 images to draw from' in text
    assert f'proposals: 160 in range, {plan.proposals[0, 1]} in positive chips, {held[0]} in negative chips' in text
    assert text.startswith(f'{(~plan.negative).sum()} chips of 3 images for 3 objects')


def test_negative_chips_stay_where_they_were_planned(filled):
    flips = set()
    for number in filled.plan.negative.nonzero()[0].tolist():
        for epoch in range(4):
            chip = filled.chip_at(ChipIndex(number, epoch, 6))
            assert chip.xyxy == tuple(filled.plan.xyxy[number]) and chip.size_wh == tuple(filled.plan.size_wh[number])
            flips.add(chip.flip)
    assert flips == {True, False}


def test_objects_in_negative_chips(coco_folder, inner_cfg, tmp_path):
    """In range and whole: trained, with the right label. Out of range or cut: ignored. None there: background."""
    folder = coco_folder([(400, 96)], [(0, 2, [300.0, 20, 40, 40], {}), (0, 1, [370.0, 30, 8, 8], {})])
    # At factor 1 no chip is planned at the left; at the right one is. Proposals ask for one there, too, and between.
    around = np.array([[304.0, 60, 324, 95], [310, 50, 340, 95]] * 3 + [[2, 2, 40, 40], [30, 2, 70, 50]] * 2)
    generator = dict(type='CoverChips', factors=[1.0], scale_range=(16, 90), chip_size=96, stride=(8, 9))
    found = [('100', (400, 96), [(around, np.ones(10))])]
    path = write(tmp_path / 'p.npz', found, (1.0,), (ScaleRange(16, 90),))
    inner = inner_cfg(folder)
    # A minimum above what the image can hold beside the positive chips leaves the left one only.
    dataset = ChipDataset(
        inner, generator, PIPELINE, 0.0, cache_dir='', negatives=dict(proposals=path, min_proposals=4)
    )
    plan = dataset.plan
    left = [n for n in plan.negative.nonzero()[0].tolist() if plan.xyxy[n, 0] < 40]
    assert len(left) == 1
    sample = dataset[left[0]]['data_samples']
    assert len(sample.gt_instances) == 0 and len(sample.ignored_instances) == 0
    assert sample.scale_range == (16, 90)
    # The same chip as a positive one, had it been planned as negative.
    object.__setattr__(plan, 'xyxy', plan.xyxy.copy())
    plan.xyxy[left[0]] = (290, 0, 386, 96)
    sample = dataset[left[0]]['data_samples']
    assert sample.gt_instances.bboxes.tensor.tolist() == [[10, 20, 50, 60]]
    assert sample.gt_instances.labels.tolist() == [2]
    assert sample.ignored_instances.bboxes.tensor.tolist() == [[80, 30, 88, 38]]
    plan.xyxy[left[0]] = (304, 0, 400, 96)
    sample = dataset[left[0]]['data_samples']
    assert len(sample.gt_instances) == 0 and len(sample.ignored_instances) == 2


def isn_detector():
    cfg = tiny_faster_rcnn_cfg()
    cfg.rpn_head.type = 'ScaleRangeRPNHead'
    for part in (cfg.train_cfg.rpn, cfg.train_cfg.rcnn):
        part.assigner.type = 'ScaleRangeAssigner'
        part.assigner.pop('ignore_iof_thr')
    return build_tiny_detector(cfg).train()


def test_a_detector_trains_on_batches_with_negative_chips(filled):
    model, plan = isn_detector(), filled.plan
    empty = [n for n in plan.negative.nonzero()[0].tolist() if plan.image[n] == 3][:2]
    last_class = [n for n in (~plan.negative).nonzero()[0].tolist() if plan.image[n] == 1][:1]
    for numbers in (empty, empty + last_class):
        batch = pseudo_collate([filled[n] for n in numbers])
        data = model.data_preprocessor(batch, training=True)
        losses = model.loss(data['inputs'], data['data_samples'])
        total, _ = model.parse_losses(losses)
        model.zero_grad()
        total.backward()
        assert torch.isfinite(total)
        # Negative chips without objects teach what background is and nothing of boxes.
        background = numbers == empty
        assert (sum(losses['loss_rpn_bbox']) == 0) == background and (losses['loss_bbox'] == 0) == background
        assert sum(losses['loss_rpn_cls']) > 0 and losses['loss_cls'] > 0
        assert model.rpn_head.rpn_cls.weight.grad.abs().sum() > 0


def test_cache_follows_file_and_minimum(with_negatives, tmp_path):
    path = write(tmp_path / 'p.npz')
    cache = tmp_path / 'cache'

    def plans(**options):
        made = with_negatives(negatives=dict(proposals=path, **options), cache_dir=str(cache))
        return made.plan, len(list(cache.glob('*.npz')))

    first, number = plans(min_proposals=4)
    assert number == 1
    assert plans(min_proposals=4, per_image=1)[1] == 1  # up to the sampler
    assert plans(min_proposals=(4, 4, 5))[1] == 2
    found = records()
    found[0][2][0] = (found[0][2][0][0][:20], found[0][2][0][1][:20])
    write(path, found)
    changed, number = plans(min_proposals=4)
    assert number == 3 and changed.proposals[0, 0] == 140 and first.proposals[0, 0] == 160
    with_negatives(negatives=None, cache_dir=str(cache))
    assert len(list(cache.glob('*.npz'))) == 4
    # A file that is moved and not changed.
    moved = tmp_path / 'q.npz'
    (tmp_path / 'p.npz').rename(moved)
    again = with_negatives(negatives=dict(proposals=str(moved), min_proposals=4), cache_dir=str(cache))
    assert np.array_equal(again.plan.xyxy, changed.xyxy) and len(list(cache.glob('*.npz'))) == 4


def test_plan_does_not_depend_on_the_number_of_processes(filled, monkeypatch):
    images = filled.negatives.attach([filled._objects_of(i) for i in range(4)] * 3, filled.generator)
    one = make_plan(GENERATOR, images, 1, (4, 4, 4))
    monkeypatch.setattr('mmisn.datasets.chip_plan.MIN_IMAGES_PER_PROCESS', 4)
    two = make_plan(GENERATOR, images, 2, (4, 4, 4))
    for name in one.__dataclass_fields__:
        assert np.array_equal(getattr(one, name), getattr(two, name)), name
    assert one.negative.sum() > 6


def test_default_minima_are_snipers():
    finest_last = CoverChips([(512, 512), 5 / 3, 3.0], (16, 300), 512)
    assert default_min_proposals(finest_last) == (11, 11, 26)
    assert default_min_proposals(CoverChips([(1400, 2000), (800, 1280)], (16, 560), 512)) == (26, 11)


@pytest.mark.parametrize(
    ('options', 'match'),
    [
        ('p.npz', "must be a dict with proposals, per_image, min_proposals, or None, got 'p.npz'"),
        (dict(per_imag=2), r"unknown keys \['per_imag'\] in ChipDataset.negatives; it has proposals, per_image"),
        (dict(proposals=None), 'negatives.proposals must name a proposals file, got None; tools/mine_negative_chips'),
        (dict(proposals='none.npz'), 'there is no proposals file none.npz; tools/mine_negative_chips.py makes one'),
        (dict(per_image=0), 'per_image must be an integer of at least 1, got 0'),
        (dict(per_image=1.5), 'per_image must be an integer of at least 1, got 1.5'),
        (dict(min_proposals=(4, 4)), r'or one for each of the 3 levels, got \(4, 4\)'),
        (dict(min_proposals=(4, 0, 4)), r'min_proposals must be an integer of at least 1.* got \(4, 0, 4\)'),
    ],
)
def test_bad_options(with_negatives, tmp_path, options, match):
    if isinstance(options, dict):
        options = {'proposals': write(tmp_path / 'p.npz'), **options}
    with pytest.raises(ValueError, match=match):
        with_negatives(negatives=options)


def test_a_generator_without_levels_to_share(with_negatives, tmp_path):
    with pytest.raises(ValueError, match='negatives needs the generator CoverChips.* got PyramidChips'):
        with_negatives(dict(proposals=write(tmp_path / 'p.npz')), generator=dict(type='PyramidChips', factors=[1.0]))


@pytest.mark.parametrize(
    ('found', 'levels', 'ranges', 'match'),
    [
        (records(first_id=7), LEVELS, RANGES, 'lacks 4 of the 4 image ids of the dataset: it was made from another'),
        (records()[1:], LEVELS, RANGES, r"lacks 1 of the 4 image ids of the dataset: such as \['100'\]"),
        (
            records([(240, 200), (250, 220), (61, 60), (230, 210)]),
            *(LEVELS, RANGES),
            "made from another dataset: its image '102' is 61x60 px, that of the dataset 60x60 px",
        ),
        (records(), (2.0, 1.0, 0.25), RANGES, r'with the levels 2.0, 1.0, 0.25, the generator has 2.0, 1.0, 0.5; mine'),
        (records(), LEVELS, (ScaleRange(16, 80),) * 3, r'with the scale ranges \[16, 80\] px .*has \[16, 90\] px'),
    ],
)
def test_files_that_do_not_match_the_dataset(with_negatives, tmp_path, found, levels, ranges, match):
    path = write(tmp_path / 'other.npz', found, levels, ranges)
    with pytest.raises(ValueError, match=match) as error:
        with_negatives(negatives=dict(proposals=path))
    assert 'other.npz' in str(error.value)


def test_a_file_of_more_images_than_the_dataset_has(with_negatives, tmp_path):
    extra = [*records(), ('999', (9, 9), [(np.zeros((0, 4)), np.zeros(0))] * 3)]
    path = write(tmp_path / 'more.npz', extra)
    assert with_negatives(negatives=dict(proposals=path, min_proposals=4)).plan.negative.any()


def test_negative_chips_alone_are_no_training(with_negatives, tmp_path, coco_folder, inner_cfg):
    small = coco_folder(IMAGES, [(0, 1, [5.0, 5.0, 2.0, 2.0], {})])
    with pytest.raises(ValueError, match='no chip to train on: none of the 1 objects of the 4 images'):
        with_negatives(dataset=inner_cfg(small, filter_cfg=dict(filter_empty_gt=False)))


@pytest.mark.skipif(real_data_root() is None, reason='real data (MMISN_DATA) is not there')
def test_real_images_with_masks(tmp_path):
    inner = dict(
        type='CocoDataset',
        data_root=str(real_data_root() / 'coco_mini'),
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=False),
    )
    generator = dict(type='CoverChips', factors=[4.0, 2.0, 1.0, 0.5, 0.25], scale_range=(16, 560), chip_size=576)
    pipeline = [PIPELINE[0], dict(type='LoadAnnotations', with_bbox=True, with_mask=True), *PIPELINE[2:]]
    plain = ChipDataset(inner, generator, pipeline, cache_dir='')
    rng, found = np.random.default_rng(0), []
    for objects in (plain._objects_of(i) for i in range(plain.num_images)):
        width, height = objects.image_wh
        per_level = []
        for factor in plain.generator.levels:
            corners = rng.uniform(0, (width, height), (60, 2))
            boxes = np.concatenate([corners, corners + rng.uniform(16, 200, (60, 2)) / factor], axis=1)
            per_level.append((boxes, np.ones(60)))
        found.append((objects.img_id, objects.image_wh, per_level))
    path = write(tmp_path / 'p.npz', found, plain.generator.levels, plain.generator.scale_ranges)
    dataset = ChipDataset(inner, generator, pipeline, cache_dir='', negatives=dict(proposals=path, min_proposals=5))
    plan = dataset.plan
    assert len(np.unique(plan.image[plan.negative])) > 0.8 * dataset.num_images
    trained = 0
    for number in rng.choice(plan.negative.nonzero()[0], 20, replace=False).tolist():
        sample = dataset[ChipIndex(number, 1, 0)]['data_samples']
        objects = dataset._objects_of(int(plan.image[number]))
        chip, scale_range = sample.chip, ScaleRange.build(sample.scale_range).in_original(sample.chip)
        expected = objects.boxes_xyxy[
            chip.encloses(objects.boxes_xyxy) & scale_range.contains_boxes(objects.boxes_xyxy)
        ]
        boxes = sample.gt_instances.bboxes.tensor.numpy().astype(float)
        assert len(boxes) == len(sample.gt_instances.masks) == len(expected)
        np.testing.assert_allclose(chip.boxes_to_image(boxes), expected, atol=1e-2)
        trained += len(boxes)
    assert trained > 0
