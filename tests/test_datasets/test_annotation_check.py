import json

import pytest

from mmisn.datasets.annotation_check import (
    NO_MASK,
    NO_POLYGON,
    RUN_LENGTH,
    SHORT_POLYGON,
    check_annotations,
    check_image_file,
    ignore_objects_without_mask,
    loaded_masks,
)

CLASSES = ('ship', 'car', 'bird')
SHIP = (0, 0, [10, 10, 20, 20], {})


def edit(folder, change):
    path = folder / 'annotations.json'
    coco = json.loads(path.read_text())
    change(coco)
    path.write_text(json.dumps(coco))
    return path


def test_left_out_annotations_are_counted_by_reason(coco_folder):
    annotations = [
        SHIP,
        (0, 0, [10, 10, 0, 20], {}),
        (0, 0, [10, 10, -5, 20], {}),
        (0, 0, [500, 10, 20, 20], {}),
        (0, 0, [-30, 10, 20, 20], {}),
        (0, 0, [10, 10, 20, 20], dict(area=0)),
        (0, 0, [10, 10, 20, 20], dict(ignore=1)),
        (0, 2, [10, 10, 20, 20], {}),
        (0, 0, [90, 70, 50, 50], dict(iscrowd=1)),  # reaches beyond the image and is a crowd: stays
    ]
    path = coco_folder([(100, 80), (50, 50)], annotations) / 'annotations.json'
    report = check_annotations(path, ('ship', 'car'))
    assert report.num_images == 2
    assert report.left_out == {
        'a box with a side below 1 px': 2,
        'a box that lies off the image': 2,
        'an area that is not positive': 1,
        'marked "ignore" (trained as background; "iscrowd": 1 makes an ignored region)': 1,
        'of a category that is not among the classes': 1,
    }


def test_counts_agree_with_what_coco_dataset_keeps(coco_folder, inner_cfg):
    from mmdet.registry import DATASETS

    annotations = [SHIP, (0, 0, [10, 10, 0.5, 20], {}), (0, 1, [100, 0, 9, 9], {}), (0, 2, [99, 0, 9, 9], {})]
    folder = coco_folder([(100, 80)], annotations)
    kept = DATASETS.build(inner_cfg(folder)).get_data_info(0)['instances']
    report = check_annotations(folder / 'annotations.json', CLASSES)
    assert len(kept) + sum(report.left_out.values()) == len(annotations)


@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_nan_and_infinity_are_named(coco_folder, value):
    folder = coco_folder([(100, 80)], [SHIP, (0, 0, [10, 10, 20, 20], {})])
    path = edit(folder, lambda coco: coco['annotations'][1].update(bbox=[1, value, 2, 2]))
    with pytest.raises(ValueError, match=r'annotations.json: annotation 2 has the box .* must be finite'):
        check_annotations(path, CLASSES)


@pytest.mark.parametrize(
    ('change', 'match'),
    [
        (lambda c: c['annotations'].clear(), 'has no annotations'),
        (lambda c: c.pop('images'), 'no list "images"'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2, 3]), r'a COCO box is \[x, y, width, height\]'),
        (lambda c: c['annotations'][0].update(bbox=[1, 2, 3, None]), 'must be finite'),
        (lambda c: c['annotations'][0].update(image_id=5), 'belongs to image 5'),
        (lambda c: c['annotations'][0].pop('area'), "annotations 1 has 'area': None; int or float is needed"),
        (lambda c: c['annotations'][0].update(area=None), "annotations 1 has 'area': None"),
        (lambda c: c['annotations'][0].pop('category_id'), "annotations 1 has 'category_id': None; int is needed"),
        (lambda c: c['images'][0].update(width='120'), "images 100 has 'width': '120'; int is needed"),
        (lambda c: c['images'][0].pop('file_name'), "images 100 has 'file_name': None; str is needed"),
        (lambda c: c['images'].append(c['images'][0]), 'two images have the id 100'),
        (lambda c: [k.update(name='x') for k in c['categories']], 'none is the same'),
    ],
)
def test_broken_files_give_one_clear_error(coco_folder, change, match):
    with pytest.raises(ValueError, match=match):
        check_annotations(edit(coco_folder([(100, 80)], [SHIP]), change), CLASSES)


@pytest.mark.parametrize('text', ['{"images": [', '[1, 2]'])
def test_no_coco_json(tmp_path, text):
    path = tmp_path / 'a.json'
    path.write_text(text)
    with pytest.raises(ValueError, match='a.json is no'):
        check_annotations(path, CLASSES)


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_image_files(coco_folder, suffix):
    path = coco_folder([(100, 80)], [SHIP], suffix) / 'images' / f'000000{suffix}'
    assert check_image_file(path, 100, 80) is None
    assert check_image_file(path, 80, 100) == 'is 100x80 px, but its annotation says 80x100'
    assert check_image_file(path.with_name('b.jpg'), 100, 80) == 'is missing'
    whole = path.read_bytes()
    path.write_bytes(whole + b'\0' * 100)
    assert check_image_file(path, 100, 80) is None
    path.write_bytes(whole[: len(whole) // 2])
    assert check_image_file(path, 100, 80) == 'is truncated'
    path.write_bytes(b'')
    assert check_image_file(path, 100, 80).startswith('cannot be read')


@pytest.mark.parametrize(('orientation', 'size'), [(1, (100, 80)), (3, (100, 80)), (6, (80, 100))])
def test_rotated_photographs_have_the_size_that_loading_gives_them(tmp_path, orientation, size):
    import mmcv
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', (100, 80)).save(tmp_path / 'a.jpg', exif=exif)
    assert mmcv.imread(tmp_path / 'a.jpg').shape[1::-1] == size
    assert check_image_file(tmp_path / 'a.jpg', *size) is None
    assert 'annotation says' in check_image_file(tmp_path / 'a.jpg', size[0] + 1, size[1])


def test_a_film_after_the_photograph_is_no_truncation(coco_folder):
    path = coco_folder([(100, 80)], [SHIP], '.jpg') / 'images' / '000000.jpg'
    path.write_bytes(path.read_bytes() + bytes(10_000))
    assert check_image_file(path, 100, 80) is None


TRIANGLE = [10, 10, 20, 10, 20, 20]


RLE = dict(size=[80, 100], counts=[1000, 50, 6950])
# Of masks, how many are remarked on, and which objects mmdet's LoadAnnotations then trains, as bitmaps and as polygons.
MASKS = [[TRIANGLE], [TRIANGLE, TRIANGLE[:4]], [TRIANGLE[:4]], [TRIANGLE[:5]], [[]], [], None, RLE]
TRAINED = dict(bitmap=[0, 1, 7], polygon=[0, 1])


@pytest.mark.parametrize(
    ('masks', 'remarks'),
    [
        (None, {SHORT_POLYGON: 1, NO_POLYGON: 3}),
        ('bitmap', {SHORT_POLYGON: 1, NO_POLYGON: 3, NO_MASK: 2}),
        ('polygon', {SHORT_POLYGON: 1, NO_POLYGON: 3, NO_MASK: 2, RUN_LENGTH: 1}),
    ],
)
def test_masks_that_cannot_be_used_are_counted_and_ignored(coco_folder, inner_cfg, masks, remarks):
    from mmcv.transforms import Compose
    from mmdet.registry import DATASETS

    annotations = [(0, 0, [10, 10, 20, 20], dict(segmentation=mask)) for mask in MASKS]
    # Left out for its box, and crowds, which are ignored anyway: not counted.
    annotations.append((0, 0, [10, 10, 0, 20], dict(segmentation=[TRIANGLE[:2]])))
    annotations += [(0, 0, [10, 10, 20, 20], dict(iscrowd=1, segmentation=mask)) for mask in (RLE, [])]
    folder = coco_folder([(100, 80)], annotations)
    report = check_annotations(folder / 'annotations.json', CLASSES, masks=masks)
    assert report.remarks == remarks
    assert all(line.endswith(f'{number} {what}') for line, (what, number) in zip(report.lines()[1:], remarks.items()))
    if masks is None:
        return
    # mmdet does what the remarks say; it stops at objects without a mask.
    load = Compose([dict(type='LoadAnnotations', with_bbox=True, with_mask=True, poly2mask=masks == 'bitmap')])
    assert loaded_masks(load) == masks
    info = dict(DATASETS.build(inner_cfg(folder)).get_data_info(0), ori_shape=(80, 100))
    with pytest.raises(KeyError, match='mask'):
        load(info)
    ignore_objects_without_mask(info, masks)
    told = [i for i, instance in enumerate(info['instances']) if not instance['ignore_flag']]
    results = load(info)
    trained = [i for i, ignored in enumerate(results['gt_ignore_flags']) if not ignored]
    assert trained == told == TRAINED[masks] and len(results['gt_ignore_flags']) == len(MASKS) + 2
    pixels = results['gt_masks'].to_ndarray()[trained].sum(axis=(1, 2))
    assert pixels[0] == pixels[1] > 0 and pixels[2:].tolist() == [50] * (masks == 'bitmap')


def test_errors_where_masks_are_loaded_and_there_are_none(coco_folder):
    annotations = [(0, 0, [10, 10, 20, 20], extras) for extras in ({}, dict(segmentation=[]))]
    annotations.append((0, 0, [10, 10, 20, 20], dict(iscrowd=1, segmentation=RLE)))
    path = coco_folder([(100, 80)], annotations) / 'annotations.json'
    assert check_annotations(path, CLASSES).remarks == {}
    with pytest.raises(ValueError, match=f'annotations.json has no mask to train on, .*: 2 {NO_MASK}. Load boxes'):
        check_annotations(path, CLASSES, masks='bitmap')
    with pytest.raises(ValueError, match='annotations.json: annotation 1 has no mask, and LoadAnnotations'):
        check_annotations(path, CLASSES, masks='bitmap', needs_masks=True)
    assert check_annotations(path, CLASSES, needs_masks=True).remarks == {}
    edit(path.parent, lambda coco: [ann.update(segmentation=RLE) for ann in coco['annotations'][:2]])
    assert check_annotations(path, CLASSES, masks='bitmap', needs_masks=True).remarks == {}
    with pytest.raises(
        ValueError, match=r'no mask to train on, .*: 2 annotations with a run-length .*\(poly2mask=True'
    ):
        check_annotations(path, CLASSES, masks='polygon')


def test_how_pipelines_load_masks():
    from mmcv.transforms import Compose

    def load(**options):
        return dict(type='LoadAnnotations', with_bbox=True, **options)

    def kind(*transforms):
        return loaded_masks(Compose(list(transforms)))

    resize = dict(type='Resize', scale=(64, 64))
    assert kind() is kind(resize, load()) is kind(load(with_mask=False)) is None
    assert kind(resize, load(with_mask=True)) == kind(load(), load(with_mask=True)) == 'bitmap'
    assert kind(load(with_mask=True, poly2mask=False)) == 'polygon'
    assert kind(dict(type='RandomApply', transforms=[load(with_mask=True)], prob=0.5)) == 'bitmap'
    # Boxes stand in for masks there.
    assert kind(dict(type='LoadMasksOrBoxes')) is None
    assert loaded_masks(lambda results: results) is None


@pytest.mark.parametrize(
    ('mask', 'match'),
    [
        (dict(size=[100, 80], counts='0'), r'run-length mask of size \[100, 80\], its image is .* \[80, 100\]'),
        (dict(counts='0'), 'run-length mask of size None'),
        (dict(size=[80, 100], counts=[8000, 1]), 'counts sum up to 8001, its image has 8000 pixels'),
        (dict(size=[80, 100]), 'counts None; a string or a list is needed'),
        ([[10, 10, 20, 10, 20, float('nan')]], 'its coordinates must be finite numbers'),
        ('abc', 'neither a list of polygons nor a run-length code'),
        ([1, 2, 3, 4, 5, 6], 'neither a list of polygons'),
    ],
)
def test_masks_that_do_not_fit_are_named(coco_folder, mask, match):
    folder = coco_folder([(100, 80)], [SHIP, (0, 0, [10, 10, 20, 20], dict(segmentation=mask))])
    with pytest.raises(ValueError, match=rf'annotations.json: annotation 2 has .*{match}'):
        check_annotations(folder / 'annotations.json', CLASSES)
