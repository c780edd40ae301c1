import json

import pytest

from mmisn.datasets.annotation_check import NO_POLYGON, SHORT_POLYGON, check_annotations, check_image_file

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


def test_mask_polygons_of_fewer_than_three_points_are_counted(coco_folder, inner_cfg):
    from mmcv.transforms import Compose
    from mmdet.registry import DATASETS

    masks = [[TRIANGLE], [TRIANGLE, TRIANGLE[:4]], [TRIANGLE[:4]], [TRIANGLE[:5]], []]
    annotations = [(0, 0, [10, 10, 20, 20], dict(segmentation=mask)) for mask in masks]
    annotations.append((0, 0, [10, 10, 0, 20], dict(segmentation=[TRIANGLE[:2]])))  # left out for its box, not counted
    folder = coco_folder([(100, 80)], annotations)
    report = check_annotations(folder / 'annotations.json', CLASSES)
    assert report.remarks == {SHORT_POLYGON: 1, NO_POLYGON: 2}
    # mmdet does what the remarks say.
    edit(folder, lambda coco: coco['annotations'].pop(4))
    load = Compose([dict(type='LoadAnnotations', with_bbox=True, with_mask=True)])
    info = DATASETS.build(inner_cfg(folder)).get_data_info(0)
    results = load(dict(info, ori_shape=(80, 100)))
    assert results['gt_ignore_flags'].tolist() == [False, False, True, True]
    assert results['gt_masks'].masks[0].sum() == results['gt_masks'].masks[1].sum() > 0


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
