import contextlib
import importlib.util
import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from mmisn.datasets.scenes import CLASSES, KEYPOINTS, SKELETON, SceneConfig, compose, make_scene, make_scenes
from mmisn.datasets.scenes.compose import draw_scales
from mmisn.datasets.scenes.drawing import render, supersampling
from mmisn.datasets.scenes.objects import RIGID_CLASSES, draw_rigid
from mmisn.datasets.scenes.person import draw_person

SMALL = SceneConfig.small()
PAIRS = [RIGID_CLASSES[i : i + 2] for i in (0, 2, 4)]


def drawn(name, seed):
    rng = np.random.default_rng(seed)
    return draw_person(rng) if name == 'person' else draw_rigid(name, rng)


def load_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def files_of(root):
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob('*')) if path.is_file()}


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """40 + 8 small scenes; (folder, record)."""
    out = tmp_path_factory.mktemp('made') / 'scenes'
    return out, make_scenes(out, 40, 8, SMALL)


@pytest.mark.parametrize(
    ('changes', 'quoted'),
    [
        (dict(image_wh=(640, 8)), r'image_wh.*\(640, 8\)'),
        (dict(image_wh=640), 'image_wh.*640'),
        (dict(image_wh=(640.0, 480)), r'image_wh.*640\.0'),
        (dict(scale_px=(480, 8)), r'scale_px.*\(480\.0, 8\.0\)'),
        (dict(scale_px=(1, 8)), r'scale_px.*\(1, 8\)'),
        (dict(scale_px=(8, 641)), r'scale_px.*641'),
        (dict(scale_px=(8, float('nan'))), 'scale_px.*nan'),
        (dict(objects_per_image=(-1, 3)), r'objects_per_image.*-1'),
        (dict(objects_per_image=(4, 3)), r'objects_per_image.*\(4, 3\)'),
        (dict(classes=('person', 'clock')), 'classes.*clock'),
        (dict(classes=('crate', 'crate')), 'classes.*crate'),
        (dict(classes=()), r'classes.*\(\)'),
        (dict(classes='person'), 'classes.*person'),
        (dict(min_visible=0), r'min_visible.*0\.0'),
        (dict(min_visible=1.5), r'min_visible.*1\.5'),
        (dict(truncate_prob=float('nan')), 'truncate_prob.*nan'),
        (dict(noise_sigma=(3, 1)), r'noise_sigma.*\(3\.0, 1\.0\)'),
        (dict(seed=-1), 'seed.*-1'),
        (dict(seed=1.0), r'seed.*1\.0'),
        (dict(seed=True), 'seed.*True'),
    ],
)
def test_bad_config(changes, quoted):
    with pytest.raises(ValueError, match=quoted):
        SceneConfig(**changes)


def test_defaults_are_frozen():
    """Comparisons rest on these numbers; whoever changes them must raise GENERATOR_VERSION."""
    assert SceneConfig().to_dict() == {
        'image_wh': [640, 480],
        'scale_px': [8.0, 480.0],
        'objects_per_image': [3, 10],
        'classes': ['person', 'target', 'wheel', 'crate', 'window', 'stairs_sign', 'fence_sign'],
        'min_visible': 0.6,
        'truncate_prob': 0.15,
        'num_distractors': [10, 30],
        'noise_sigma': [1.0, 4.0],
        'seed': 0,
    }
    np.testing.assert_allclose(np.array(SMALL.image_wh + SMALL.scale_px), np.array([640, 480, 8, 480]) * 0.4)
    assert SceneConfig.small(seed=3, image_wh=(320, 240)) == SceneConfig((320, 240), (3.2, 192), seed=3)


@pytest.mark.parametrize(('split', 'index'), [('test', 0), ('train', -1)])
def test_bad_scene_request(split, index):
    with pytest.raises(ValueError, match=rf"'{split}' and {index}"):
        make_scene(SMALL, split, index)


def test_same_bytes_for_any_number_of_workers_and_pictures(tmp_path):
    make_scenes(tmp_path / 'one', 12, 3, SMALL, num_workers=1)
    make_scenes(tmp_path / 'two', 12, 3, SMALL, num_workers=2)
    make_scenes(tmp_path / 'few', 4, 3, SMALL, num_workers=1)
    one, two, few = (files_of(tmp_path / name) for name in ('one', 'two', 'few'))
    assert len(one) == 12 + 3 + 3
    assert one == two
    pictures = {name for name in few if name.endswith('.jpg')}
    assert len(pictures) == 7
    assert all(few[name] == one[name] for name in pictures)


def test_last_digits_of_a_processor_are_in_no_annotation(tmp_path, monkeypatch):
    """exp and log differ there between processors; results are kept under a digest of the annotations."""
    make_scenes(tmp_path / 'here', 3, 2, SMALL)
    monkeypatch.setattr(compose, 'draw_scales', lambda *args: np.nextafter(draw_scales(*args), np.inf))
    make_scenes(tmp_path / 'there', 3, 2, SMALL)
    for split in ('train', 'val'):
        here, there = (tmp_path / f'{name}/annotations/instances_{split}.json' for name in ('here', 'there'))
        assert here.read_bytes() == there.read_bytes()


def test_scenes_differ():
    scenes = [
        make_scene(SMALL, 'train', 0),
        make_scene(SMALL, 'train', 1),
        make_scene(SMALL, 'val', 0),
        make_scene(SceneConfig.small(seed=1), 'train', 0),
    ]
    for i, first in enumerate(scenes):
        for second in scenes[:i]:
            assert np.abs(first.image.astype(int) - second.image).mean() > 10


def test_written_picture_is_the_scene(made):
    errors = []
    for index in range(5):
        stored = cv2.imread(str(made[0] / 'train' / f'{index:06d}.jpg'))
        errors.append(np.abs(stored.astype(int) - make_scene(SMALL, 'train', index).image).mean())
    assert max(errors) < 4


@pytest.mark.parametrize(('split', 'num'), [('train', 40), ('val', 8)])
def test_annotations_are_coco(made, split, num):
    coco = load_coco(made[0] / 'annotations' / f'instances_{split}.json')
    assert sorted(coco.imgs) == list(range(1, num + 1))
    for image in coco.imgs.values():
        assert cv2.imread(str(made[0] / split / image['file_name'])).shape == (image['height'], image['width'], 3)
    assert [coco.cats[i]['name'] for i in range(1, 8)] == list(CLASSES)
    assert sorted(coco.anns) == list(range(1, len(coco.anns) + 1))
    for ann in coco.anns.values():
        mask = coco.annToMask(ann)
        assert ann['area'] == mask.sum() > 0
        assert tuple(ann['bbox']) == cv2.boundingRect(mask)
        assert ann['iscrowd'] == 0
        assert ('keypoints' in ann) == (ann['category_id'] == 1)
        if 'keypoints' in ann:
            points = np.reshape(ann['keypoints'], (17, 3))
            assert ann['num_keypoints'] == (points[:, 2] > 0).sum()
            assert set(points[:, 2]) <= {0, 1, 2}
    assert coco.dataset['info']['config'] == SMALL.to_dict()


def test_person_category(made):
    person = json.loads((made[0] / 'annotations' / 'instances_val.json').read_text())['categories'][0]
    assert person['keypoints'] == list(KEYPOINTS)
    assert len(KEYPOINTS) == 17 and KEYPOINTS[0] == 'nose' and KEYPOINTS[9:11] == ('left_wrist', 'right_wrist')
    names = {frozenset((KEYPOINTS[a - 1], KEYPOINTS[b - 1])) for a, b in SKELETON}
    assert len(names) == 19
    assert {frozenset(('left_knee', 'left_ankle')), frozenset(('right_elbow', 'right_wrist'))} <= names


def test_masks_do_not_overlap(made):
    coco = load_coco(made[0] / 'annotations' / 'instances_train.json')
    for image in coco.imgs:
        masks = [coco.annToMask(ann) for ann in coco.imgToAnns[image]]
        assert np.sum(masks, axis=0).max(initial=0) <= 1


def test_summary_counts(made):
    summary = made[1]['summary']['train']
    anns = json.loads((made[0] / 'annotations' / 'instances_train.json').read_text())['annotations']
    assert summary['images'] == 40
    assert summary['objects'] == len(anns) == sum(summary['objects_per_class'].values())
    by_class = np.bincount([ann['category_id'] for ann in anns], minlength=8)[1:]
    assert list(summary['objects_per_class'].values()) == by_class.tolist()
    sides = np.array([ann['bbox'][2:] for ann in anns])
    scales = np.sqrt(sides[:, 0] * sides[:, 1])
    for octave, count in summary['objects_per_octave'].items():
        low, high = map(float, octave.split('-'))
        assert high == 2 * low
        assert count == ((scales >= low) & (scales < high)).sum() > 0
    assert sum(summary['objects_per_octave'].values()) == len(anns)


@pytest.mark.parametrize('num', [1, 3, 10])
def test_drawn_scales_are_log_uniform(num):
    rng = np.random.default_rng(5)
    scales = np.concatenate([draw_scales(num, (8, 480), rng) for _ in range(3000 // num)])
    assert 8 <= scales.min() < scales.max() <= 480
    position = np.sort(np.log(scales / 8) / np.log(60))
    steps = np.arange(len(scales) + 1) / len(scales)
    # Kolmogorov-Smirnov at 5 %; independent draws are the worst case.
    assert max(np.abs(position - steps[:-1]).max(), np.abs(position - steps[1:]).max()) < 1.36 / np.sqrt(len(scales))


def test_scales_come_largest_first_one_per_part():
    scales = draw_scales(6, (2, 128), np.random.default_rng(0))
    assert np.floor(np.log2(scales)).tolist() == [6, 5, 4, 3, 2, 1]
    assert draw_scales(0, (2, 128), np.random.default_rng(0)).shape == (0,)


def test_placed_scales_stay_log_uniform_and_in_bounds():
    config = SceneConfig.small(num_distractors=(0, 0), seed=2)
    scenes = [make_scene(config, 'train', i) for i in range(100)]
    objects = [obj for scene in scenes for obj in scene.objects]
    scales = np.sort([obj.scale_px for obj in objects])
    assert np.all((scales >= 3.2) & (scales <= 192))
    assert sum(len(scene.unplaced) for scene in scenes) < 0.01 * len(scales)
    position = np.log(scales / 3.2) / np.log(60)
    assert np.abs(position - np.arange(len(scales)) / len(scales)).max() < 1.36 / np.sqrt(len(scales))
    # Nothing but rounding to pixels makes a visible box larger than the drawing: a pixel per side, which is up to 1.3
    # in sqrt(w * h) for the slimmest persons.
    assert max(np.sqrt(obj.box_xywh()[2:].prod()) - obj.scale_px for obj in objects) < 1.3
    counts = np.array([sum(obj.name == name for obj in objects) for name in CLASSES])
    expected = len(objects) / len(CLASSES)
    # Chi-square with 6 degrees of freedom, 1 %.
    assert ((counts - expected) ** 2 / expected).sum() < 16.8


def test_uncovered_box_has_the_drawn_scale():
    rigid = SceneConfig.small(classes=RIGID_CLASSES, objects_per_image=(1, 1), truncate_prob=0, scale_px=(6, 120))
    ratios = []
    for index in range(40):
        (obj,) = make_scene(rigid, 'train', index).objects
        assert obj.visible == 1
        ratios.append(np.sqrt(obj.box_xywh()[2:].prod()) / obj.scale_px)
    assert min(ratios) > 0.8 and max(ratios) < 1.1
    assert np.median(ratios) == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize('min_visible', [0.6, 0.9])
def test_crowded_scenes_keep_objects_visible_and_count_the_rest(min_visible):
    config = SceneConfig.small(scale_px=(60, 192), objects_per_image=(9, 9), min_visible=min_visible, truncate_prob=1)
    fractions, unplaced = [], 0
    for index in range(8):
        scene = make_scene(config, 'train', index)
        assert len(scene.objects) + len(scene.unplaced) == 9
        assert sum(scene.num_unplaced().values()) == len(scene.unplaced)
        unplaced += len(scene.unplaced)
        fractions += [obj.mask.sum() / obj.whole_area for obj in scene.objects]
    assert min_visible <= min(fractions) < min_visible + 0.1
    assert unplaced > 0


def test_no_objects():
    scene = make_scene(SceneConfig.small(objects_per_image=(0, 0)), 'val', 0)
    assert scene.objects == [] and scene.unplaced == []
    assert scene.image.shape == (192, 256, 3) and scene.image.dtype == np.uint8
    assert scene.image.std() > 3


def test_empty_data_set_is_coco(tmp_path):
    record = make_scenes(tmp_path / 'a', 2, 0, SceneConfig.small(objects_per_image=(0, 0)))
    assert record['summary']['train']['objects'] == 0
    assert len(load_coco(tmp_path / 'a/annotations/instances_train.json').imgs) == 2
    assert load_coco(tmp_path / 'a/annotations/instances_val.json').imgs == {}


@pytest.mark.parametrize('name', CLASSES)
@pytest.mark.parametrize('scale', [8, 20, 60])
def test_small_drawing_is_the_large_one_averaged(name, scale):
    small = drawn(name, 3).scaled_to(scale)
    picture, place = render(small, supersampling(scale))
    height, width = picture.shape[:2]
    large, large_place = render(small.transformed(np.eye(2) * 10), 1)
    assert place == large_place == (0, 0)
    canvas = np.zeros((height * 10, width * 10, 4), np.float32)
    canvas[: large.shape[0], : large.shape[1]] = large[: height * 10, : width * 10]
    averaged = canvas.reshape(height, 10, width, 10, 4).mean((1, 3))
    # The light runs over the pixels of each picture, hence the small rest.
    assert np.abs(averaged - picture).mean() < 0.025


@pytest.mark.parametrize('pair', PAIRS)
def test_pairs_look_alike_when_small_only(pair):
    def difference(scale):
        found = []
        for seed in range(20):
            # The same seed gives the same colours, aspect and rotation.
            pictures = [render(drawn(name, seed).scaled_to(scale), 8)[0] for name in pair]
            np.testing.assert_array_equal(pictures[0][..., 3], pictures[1][..., 3])
            found.append(np.abs(pictures[0] - pictures[1])[pictures[0][..., 3] > 0.99].mean())
        return np.mean(found)

    large, middle, tiny = (difference(scale) for scale in (100, 14, 4))
    assert middle > 0.6 * large
    assert tiny < 0.35 * large


@pytest.mark.parametrize('pair', PAIRS)
def test_pairs_have_equal_mean_colours(pair):
    means = []
    for name in pair:
        pictures = [render(drawn(name, seed).scaled_to(60), 4)[0] for seed in range(40)]
        means.append([picture.mean((0, 1)) for picture in pictures])
    assert np.abs(np.mean(means[0], 0) - np.mean(means[1], 0)).max() < 0.01


def test_unknown_rigid_class():
    with pytest.raises(ValueError, match="'person'"):
        draw_rigid('person', np.random.default_rng(0))


@pytest.mark.parametrize('seed', range(12))
def test_keypoints_lie_in_the_drawing(seed):
    person = drawn('person', seed).scaled_to(200)
    picture, (left, top) = render(person, 2)
    x, y = np.floor(person.keypoints - (left, top)).astype(int).T
    assert np.all(picture[y, x, 3] == 1)
    place = dict(zip(KEYPOINTS, person.keypoints))
    # The person faces us and stands: its left is our right, its head is up.
    for joint in ('shoulder', 'hip', 'ear', 'eye'):
        assert place[f'left_{joint}'][0] > place[f'right_{joint}'][0]
    assert place['nose'][1] < place['left_shoulder'][1] < place['left_hip'][1]


def test_hidden_keypoints_exist_and_are_few():
    hidden = np.array([drawn('person', seed).hidden for seed in range(400)])
    joints = {KEYPOINTS[i].split('_')[-1] for i in np.flatnonzero(hidden.any(0))}
    assert joints == {'ear', 'elbow', 'wrist'}
    assert not np.any(hidden[:, 3] & hidden[:, 4])
    assert hidden.mean() < 0.1


def test_keypoint_flags_agree_with_masks():
    config = SceneConfig.small(classes=('person', 'crate'), scale_px=(12, 192), truncate_prob=0.5, seed=4)
    seen = np.zeros(3, int)
    covered = 0
    for index in range(30):
        scene = make_scene(config, 'train', index)
        for number, obj in enumerate(scene.objects):
            if obj.keypoints is None:
                continue
            near = cv2.dilate(obj.mask.astype(np.uint8), np.ones((3, 3), np.uint8))
            later = np.any([other.mask for other in scene.objects[number + 1 :]] + [np.zeros_like(obj.mask)], axis=0)
            for x, y, flag in obj.keypoints:
                seen[int(flag)] += 1
                assert (flag == 0) == (x == y == 0)
                if flag == 2:
                    assert near[int(y), int(x)] and not later[int(y), int(x)]
                elif flag == 1:
                    covered += later[int(y), int(x)]
    assert np.all(seen > 10) and covered > 10


def test_finished_folder_is_reused_or_refused(tmp_path):
    out = tmp_path / 'scenes'
    record = make_scenes(out, 2, 1, SMALL)
    before = (out / 'scenes.json').stat().st_mtime_ns
    assert make_scenes(out, 2, 1, SMALL) == record == json.loads((out / 'scenes.json').read_text())
    assert (out / 'scenes.json').stat().st_mtime_ns == before
    other = SceneConfig.small(seed=7)
    with pytest.raises(ValueError, match='num_train is 2 there, 3 is asked for; seed is 0 there, 7 is asked for'):
        make_scenes(out, 3, 1, other)
    assert (out / 'scenes.json').stat().st_mtime_ns == before
    assert make_scenes(out, 3, 1, other, overwrite=True)['config']['seed'] == 7
    assert len(list((out / 'train').iterdir())) == 3
    assert [path.name for path in tmp_path.iterdir()] == ['scenes']


@pytest.mark.parametrize('overwrite', [False, True])
def test_foreign_folder_is_never_touched(tmp_path, overwrite):
    (tmp_path / 'thesis.txt').write_text('mine')
    with pytest.raises(FileExistsError, match='something else'):
        make_scenes(tmp_path, 1, 0, SMALL, overwrite=overwrite)
    assert (tmp_path / 'thesis.txt').read_text() == 'mine'


def test_failure_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, 'imwrite', lambda *args: False)
    with pytest.raises(OSError, match='could not write'):
        make_scenes(tmp_path / 'scenes', 1, 0, SMALL)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('counts', [(-1, 0, 1), (0, 1.5, 1), (0, 0, -2)])
def test_bad_counts(tmp_path, counts):
    with pytest.raises(ValueError, match='integer >= 0, got'):
        make_scenes(tmp_path / 'scenes', *counts[:2], SMALL, num_workers=counts[2])


def test_tool(tmp_path, capsys):
    path = Path(__file__).parents[2] / 'tools' / 'make_scenes.py'
    spec = importlib.util.spec_from_file_location('make_scenes_tool', path)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.main(['--out', str(tmp_path / 's'), '--train', '3', '--val', '2', '--small', '--seed', '5'])
    record = json.loads((tmp_path / 's' / 'scenes.json').read_text())
    assert record['config'] == SceneConfig.small(seed=5).to_dict()
    assert (record['num_train'], record['num_val']) == (3, 2)
    printed = capsys.readouterr().out
    assert all(name in printed for name in (*CLASSES, 'unplaced', ' px'))
