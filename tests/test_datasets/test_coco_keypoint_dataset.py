import json

import numpy as np
import pytest
from mmdet.registry import DATASETS
from pycocotools.coco import COCO

from mmisn.datasets import ChipDataset, CocoKeypointDataset
from mmisn.datasets.annotation_check import check_annotations
from mmisn.datasets.keypoint_annotations import NO_KEYPOINTS, OFF_BOX, OFF_IMAGE, OTHER_CLASS, read_keypoints
from mmisn.testing.real_data import real_data_root

BOX = [10, 10, 40, 40]
GOOD = [12, 13, 2, 30, 31, 1, 7, 7, 0]


def keypoints(values, **extras):
    labelled = sum(v > 0 for v in values[2::3])
    return dict(keypoints=values, num_keypoints=labelled, **extras)


@pytest.fixture
def bird_folder(coco_folder):
    """Function (annotations) -> folder; category "bird" has three keypoints, "ship" and "car" have none."""

    def write(annotations, images=((100, 80),)):
        folder = coco_folder(list(images), annotations)
        path = folder / 'annotations.json'
        content = json.loads(path.read_text())
        content['categories'][2].update(keypoints=['beak', 'left_wing', 'right_wing'], skeleton=[[1, 2], [1, 3]])
        path.write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def bird_cfg(inner_cfg):
    def make(folder, sigmas=(0.1, 0.2, 0.2), **metainfo):
        info = dict(classes=('ship', 'car', 'bird'), sigmas=list(sigmas), **metainfo)
        return inner_cfg(folder, type='CocoKeypointDataset', metainfo=info, filter_cfg=None)

    return make


def test_instances_have_keypoints_and_area(bird_folder, bird_cfg):
    annotations = [
        (0, 2, BOX, keypoints(GOOD, area=99.5)),
        (0, 0, [10, 10, 0, 20], {}),  # no box: left out, and later rows must not shift
        (0, 0, [1, 1, 5, 5], {}),
        (0, 2, [20, 20, 30, 30], keypoints([0] * 9)),
        (0, 2, [30, 30, 30, 30], keypoints([40, 41, 2] + [0] * 6, ignore=1)),
        (0, 2, [40, 40, 30, 30], keypoints([0] * 9, iscrowd=1)),
    ]
    made = DATASETS.build(bird_cfg(bird_folder(annotations)))
    assert isinstance(made, CocoKeypointDataset)
    info = made.get_data_info(0)
    assert info['flip_indices'] == [0, 2, 1]
    rows = info['instances']
    assert [r['bbox_label'] for r in rows] == [2, 0, 2, 2, 2]
    assert [r['ignore_flag'] for r in rows] == [0, 0, 0, 1, 1]
    assert [r['num_keypoints'] for r in rows] == [2, 0, 0, 1, 0]
    assert [r['area'] for r in rows] == [99.5, 25, 900, 900, 900]
    # What is not labelled has no place.
    assert rows[0]['keypoints'] == [12, 13, 2, 30, 31, 1, 0, 0, 0]
    assert rows[3]['keypoints'] == [40, 41, 2, 0, 0, 0, 0, 0, 0]
    # The ship has no skeleton, the crowd and the ignored bird are not trained on: one bird without keypoints.
    assert made.keypoint_counts == {NO_KEYPOINTS: 1}
    assert made.metainfo['keypoint_names'] == ['beak', 'left_wing', 'right_wing']
    assert made.metainfo['skeleton_links'] == [[0, 1], [0, 2]]
    assert made.metainfo['sigmas'] == [0.1, 0.2, 0.2]


def test_keypoint_offset(bird_folder, bird_cfg):
    folder = bird_folder([(0, 2, BOX, keypoints(GOOD))])
    made = DATASETS.build(dict(bird_cfg(folder), keypoint_offset=0.5))
    assert made.get_data_info(0)['instances'][0]['keypoints'] == [12.5, 13.5, 2, 30.5, 31.5, 1, 0, 0, 0]
    assert made.metainfo['keypoint_offset'] == 0.5
    with pytest.raises(ValueError, match=r'keypoint_offset must be in \[0, 1\] px, got -0.5'):
        DATASETS.build(dict(bird_cfg(folder), keypoint_offset=-0.5))


def test_ignored_annotations_are_regions_for_chips_too(bird_folder, bird_cfg, inner_cfg):
    annotations = [(0, 2, BOX, keypoints(GOOD)), (0, 2, [30, 30, 30, 30], keypoints(GOOD[:3] + [0] * 6, ignore=1))]
    folder = bird_folder(annotations)
    generator = dict(type='CoverChips', factors=(1.0,), scale_range=(1, 500), chip_size=64)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='LoadKeypoints'),
        dict(type='FilterByScale'),
        dict(type='CropChip'),
        dict(type='PackInstanceInputs'),
    ]
    chips = ChipDataset(bird_cfg(folder), generator, pipeline, cache_dir='', flip_prob=0, num_procs=1)
    assert chips.plan.totals[0] == 1
    assert not any('ignore' in line for line in chips.plan.left_out)
    sample = chips[0]['data_samples']
    assert len(sample.gt_instances) == len(sample.ignored_instances) == 1
    left, top = sample.chip.xyxy[:2]
    points = np.array(GOOD, float).reshape(3, 3)[:2, :2] - (left, top)
    assert sample.gt_instances.keypoints[0, :2].tolist() == points.tolist()
    assert sample.gt_instances.keypoints_visible.tolist() == [[2, 1, 0]]
    plain = check_annotations(folder / 'annotations.json')
    assert list(plain.left_out.values()) == [1]
    assert check_annotations(folder / 'annotations.json', keeps_ignored=True).left_out == {}


@pytest.mark.parametrize(
    ('values', 'match'),
    [
        ([float('nan'), 13, 2, *GOOD[3:]], r'keypoint 0 \[nan, 13, 2\]; its three numbers must be finite'),
        ([*GOOD[:6], 7, float('inf'), 0], r'keypoint 2 \[7, inf, 0\]'),
        ([*GOOD[:3], 30, None, 1, *GOOD[6:]], r'keypoint 1 \[30, None, 1\]'),
        ([*GOOD[:5], 3, *GOOD[6:]], r'keypoint 1 \[30, 31, 3\]; its visibility must be 0 \(not labelled\), 1'),
        ([*GOOD[:5], 0.5, *GOOD[6:]], 'keypoint 1 .*; its visibility must be 0'),
        ([*GOOD[:5], -1, *GOOD[6:]], 'keypoint 1 .*; its visibility must be 0'),
        (GOOD[:8], 'keypoints of length 8; 3 keypoints of x, y, visibility are 9 numbers'),
        (GOOD + GOOD, 'keypoints of length 18'),
        ([*GOOD[:3], '30', 31, 1, *GOOD[6:]], r"keypoint 1 \['30', 31, 1\]"),
        ([float('inf'), -float('inf'), 2, *GOOD[3:]], r'keypoint 0 \[inf, -inf, 2\]'),
        ([None] * 9, r'keypoint 0 \[None, None, None\]'),
        (dict(x=1), 'keypoints of length dict'),
    ],
)
def test_bad_keypoints_name_file_and_annotation(bird_folder, bird_cfg, values, match):
    folder = bird_folder([(0, 2, BOX, keypoints(GOOD)), (0, 2, BOX, dict(keypoints=values))])
    with pytest.raises(ValueError, match=rf'annotations.json: annotation 2 has {match}'):
        DATASETS.build(bird_cfg(folder))


def test_num_keypoints_must_be_their_number(bird_folder, bird_cfg):
    folder = bird_folder([(0, 2, BOX, dict(keypoints=GOOD, num_keypoints=3))])
    with pytest.raises(ValueError, match='annotation 1 has num_keypoints 3, but 2 keypoints of visibility 1 or 2'):
        DATASETS.build(bird_cfg(folder))
    with pytest.raises(ValueError, match='here has num_keypoints 3, but 0 keypoints'):
        read_keypoints(dict(bbox=BOX, num_keypoints=3), 3, (100, 80), 'here')


def test_keypoints_off_image_and_box_are_counted():
    annotation = dict(bbox=BOX, keypoints=[101.5, 20, 2, 60, 20, 2, 100.9, 50.5, 1])
    points, counts = read_keypoints(annotation, 3, (100, 80), 'here')
    assert points.tolist() == [[0, 0, 0], [60, 20, 2], [100.9, 50.5, 1]]
    assert counts == {OFF_IMAGE: 1, OFF_BOX: 2}
    # With none left, the object is one without keypoints.
    points, counts = read_keypoints(dict(bbox=BOX, keypoints=[-2, 20, 2]), 1, (100, 80), 'here')
    assert (points.tolist(), counts) == ([[0, 0, 0]], {OFF_IMAGE: 1, NO_KEYPOINTS: 1})
    # Beyond the box by a rounding step is in it.
    assert read_keypoints(dict(bbox=BOX, keypoints=[9, 51, 1]), 1, (100, 80), 'here')[1] == {}


def test_classes_with_different_skeletons_and_wrong_pairs(bird_folder, bird_cfg):
    folder = bird_folder([(0, 2, BOX, keypoints(GOOD))])
    path = folder / 'annotations.json'
    content = json.loads(path.read_text())
    content['categories'][0].update(keypoints=['bow'])
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotations.json: categories 'ship' and 'bird' have different keypoints"):
        DATASETS.build(bird_cfg(folder))
    del content['categories'][0]['keypoints']
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"annotations.json: flip pair \['left_wing', 'wing'\] names \['wing'\]"):
        DATASETS.build(bird_cfg(folder, flip_pairs=[('left_wing', 'wing')]))


def test_classes_that_are_not_described_have_keypoints_if_an_annotation_has_some(coco_folder, inner_cfg):
    annotations = [
        (0, 0, [1, 1, 5, 5], {}),
        (0, 1, BOX, keypoints([0] * 9)),
        (0, 2, BOX, keypoints(GOOD)),
        (0, 2, BOX, {}),
        (0, 0, [2, 2, 5, 5], dict(keypoints=[])),
    ]
    folder = coco_folder([(100, 80)], annotations)
    info = dict(classes=('ship', 'car', 'bird'), keypoint_names=['a', 'b', 'c'], sigmas=[0.1] * 3)
    made = DATASETS.build(inner_cfg(folder, type='CocoKeypointDataset', metainfo=info, filter_cfg=None))
    rows = made.get_data_info(0)['instances']
    assert [r['num_keypoints'] for r in rows] == [0, 0, 2, 0, 0]
    # All rows are of one length, so that they make an array.
    assert {len(r['keypoints']) for r in rows} == {9}
    # A car and a bird; ships have none at all.
    assert made.keypoint_counts == {NO_KEYPOINTS: 2}


def test_keypoints_of_a_class_that_is_not_described_are_not_taken(bird_folder, bird_cfg):
    """A ship's five keypoints are no bird's; what they are is not asked, but how many ships have some is counted."""
    annotations = [
        (0, 0, BOX, keypoints([5, 5, 2] * 5)),
        (0, 2, BOX, keypoints(GOOD)),
        (0, 1, BOX, keypoints([0, 0, 0, 5, 5, 1])),
        (0, 1, BOX, keypoints([0] * 6)),
        (0, 0, BOX, keypoints([5, 5, 2] * 5, ignore=1)),
        (0, 0, BOX, dict(keypoints=dict(x=1))),
    ]
    made = DATASETS.build(bird_cfg(bird_folder(annotations)))
    rows = made.get_data_info(0)['instances']
    assert [r['keypoints'] for r in rows] == [[0] * 9, [12, 13, 2, 30, 31, 1, 0, 0, 0], *[[0] * 9] * 4]
    assert made.keypoint_counts == {OTHER_CLASS: 2}


def test_classes_must_be_in_the_order_of_the_file(bird_folder, bird_cfg, inner_cfg):
    folder = bird_folder([(0, 2, BOX, keypoints(GOOD)), (0, 0, BOX, {})])

    def build(*classes):
        cfg = inner_cfg(folder, type='CocoKeypointDataset', metainfo=dict(classes=classes, sigmas=[0.1] * 3))
        return DATASETS.build(cfg)

    assert [r['bbox_label'] for r in build('ship', 'bird').get_data_info(0)['instances']] == [1, 0]
    # One more at the end shifts no label.
    assert build('ship', 'bird', 'whale').metainfo['classes'] == ('ship', 'bird', 'whale')
    for classes, found in (
        (('bird', 'ship'), r"\['ship', 'bird'\]"),
        (('ship', 'whale', 'bird'), r"\['ship', 'bird'\]"),
    ):
        with pytest.raises(ValueError, match=rf'annotations.json has the classes {found} in this order'):
            build(*classes)


def test_no_class_is_in_the_file(bird_folder, inner_cfg):
    folder = bird_folder([(0, 2, BOX, keypoints(GOOD))])
    for metainfo, name in ((dict(classes=('mouse',)), 'mouse'), (None, 'person')):
        match = rf"annotations.json has the categories \['ship', 'car', 'bird'\], the dataset the classes \['{name}'\]"
        with pytest.raises(ValueError, match=match):
            DATASETS.build(inner_cfg(folder, type='CocoKeypointDataset', test_mode=True, metainfo=metainfo))


def test_images_without_annotations(bird_folder, inner_cfg):
    """COCO's ``image_info_test-dev2017.json``: images and categories without keypoints, no list of annotations."""
    folder = bird_folder([], images=[(100, 80), (60, 50)])
    path = folder / 'annotations.json'
    content = json.loads(path.read_text())
    content['categories'] = [dict(id=1, name='person'), dict(id=2, name='bicycle')]
    del content['annotations']
    path.write_text(json.dumps(content))
    made = DATASETS.build(inner_cfg(folder, type='CocoKeypointDataset', metainfo=None, filter_cfg=None, test_mode=True))
    assert [made.get_data_info(i)['img_id'] for i in range(len(made))] == [100, 101]
    assert all(made.get_data_info(i)['instances'] == [] for i in range(2))
    assert made.get_data_info(0)['flip_indices'][:3] == [0, 2, 1]
    assert len(made.metainfo['sigmas']) == 17 and made.metainfo['keypoint_names'][0] == 'nose'


@pytest.mark.skipif(real_data_root() is None, reason='no coco_mini')
def test_real_persons():
    root = real_data_root() / 'coco_mini'
    made = CocoKeypointDataset(
        data_root=str(root), ann_file='annotations/person_keypoints_train.json', data_prefix=dict(img='images/')
    )
    coco = COCO(str(root / 'annotations/person_keypoints_train.json'))
    rows = [(info['img_id'], row) for info in map(made.get_data_info, range(len(made))) for row in info['instances']]
    assert len(rows) == len(coco.anns)
    for image_id in coco.imgs:
        mine = [row for i, row in rows if i == image_id]
        theirs = coco.imgToAnns[image_id]
        assert [r['keypoints'] for r in mine] == [a['keypoints'] for a in theirs]
        assert [(r['num_keypoints'], r['area']) for r in mine] == [(a['num_keypoints'], a['area']) for a in theirs]
    assert made.keypoint_counts[NO_KEYPOINTS] == 129
    assert made.metainfo['classes'] == ('person',)


@pytest.mark.skipif(real_data_root() is None, reason='no coco_mini')
def test_chips_of_real_persons():
    root = real_data_root() / 'coco_mini'
    inner = dict(
        type='CocoKeypointDataset',
        data_root=str(root),
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='images/'),
    )
    generator = dict(type='CoverChips', factors=(2.0, 1.0, 0.5), scale_range=(16, 560), chip_size=576)
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='LoadKeypoints'),
        dict(type='FilterByScale'),
        dict(type='CropChip'),
        dict(type='PackInstanceInputs'),
    ]
    chips = ChipDataset(inner, generator, pipeline, cache_dir='', flip_prob=0.5, num_procs=1)
    coco = COCO(str(root / inner['ann_file']))
    flips = {False: 0, True: 0}
    for sample in (chips[i]['data_samples'] for i in range(0, len(chips), 3)):
        x1, y1, x2, y2 = sample.chip.xyxy
        # By hand: back to original pixels, left and right swapped by their names.
        names = chips.metainfo['keypoint_names']
        swapped = [n.replace('left', 'r?').replace('right', 'left').replace('r?', 'right') for n in names]
        source = [names.index(n) for n in (swapped if sample.flip else names)]
        annotated = [np.array(a['keypoints'], float).reshape(17, 3) for a in coco.imgToAnns[sample.img_id]]
        for rows in (sample.gt_instances, sample.ignored_instances):
            assert len(rows.keypoints) == len(rows.bboxes) == len(rows.masks)
            for points, visible in zip(rows.keypoints.double().numpy(), rows.keypoints_visible.numpy()):
                points = points / sample.scale_factor
                points[:, 0] = x2 - x1 - points[:, 0] if sample.flip else points[:, 0]
                points = (points + (x1, y1))[source]
                labelled, marks = visible[source] > 0, visible[source]
                fits = [
                    np.allclose(points[labelled], a[labelled, :2], atol=0.01)
                    and np.array_equal(marks, a[:, 2] * ((a[:, :2] >= (x1, y1)) & (a[:, :2] <= (x2, y2))).all(1))
                    for a in annotated
                ]
                assert any(fits)
                flips[sample.flip] += labelled.sum()
    assert min(flips.values()) > 20
