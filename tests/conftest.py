import json

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope

import mmisn  # noqa: F401  registers everything, as custom_imports does
from mmisn._config_files import metafiles_read_once

CLASSES = ('ship', 'car', 'bird')


@pytest.fixture
def coco_folder(tmp_path):
    """Write a small COCO-format data set; returns a function (images, annotations) -> folder.

    ``images``: list of (width, height); ``annotations``: list of (image index, category index, [x, y, w, h], extras).
    Category ids are 3, 8 and 90: neither contiguous nor from 1.
    """
    ids = (3, 8, 90)

    def write(images, annotations, suffix='.png'):
        rng = np.random.default_rng(0)
        (tmp_path / 'images').mkdir(exist_ok=True)
        records = []
        for index, (width, height) in enumerate(images):
            name = f'{index:06d}{suffix}'
            cv2.imwrite(str(tmp_path / 'images' / name), rng.integers(0, 255, (height, width, 3), np.uint8))
            records.append(dict(id=100 + index, file_name=name, width=width, height=height))
        anns = [
            dict(
                dict(
                    id=1 + i, image_id=100 + image, category_id=ids[category], bbox=box, area=box[2] * box[3], iscrowd=0
                ),
                **extras,
            )
            for i, (image, category, box, extras) in enumerate(annotations)
        ]
        categories = [dict(id=i, name=n) for i, n in zip(ids, CLASSES)]
        (tmp_path / 'annotations.json').write_text(
            json.dumps(dict(images=records, annotations=anns, categories=categories))
        )
        return tmp_path

    return write


@pytest.fixture
def inner_cfg():
    """Config of the inner dataset over a folder that ``coco_folder`` wrote."""

    def make(folder, **changes):
        return {
            **dict(
                type='CocoDataset',
                data_root=str(folder),
                ann_file='annotations.json',
                data_prefix=dict(img='images/'),
                metainfo=dict(classes=CLASSES),
                filter_cfg=dict(filter_empty_gt=True),
            ),
            **changes,
        }

    return make


@pytest.fixture(scope='session', autouse=True)
def quick_configs():
    """Most of the time of reading a config goes into mmdet's metafiles."""
    with metafiles_read_once():
        yield


@pytest.fixture(autouse=True)
def mmdet_scope():
    """Configs set ``default_scope = 'mmdet'``; here no runner does it."""
    init_default_scope('mmdet')
