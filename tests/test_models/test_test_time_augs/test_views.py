"""Chips and filters read from meta information and configs."""

import math

import numpy as np
import pytest
from mmcv.transforms import Compose
from mmdet.utils import register_all_modules

from mmisn.models.test_time_augs import build_view_filters, chip_of_view, metainfo_of_image
from mmisn.structures import Chip, ScaleRange, ViewFilter

ORIGINAL = dict(ori_shape=(100, 200))


@pytest.mark.parametrize(
    ('metainfo', 'expected'),
    [
        (dict(img_shape=(50, 100)), Chip.full((200, 100), (100, 50))),
        (dict(img_shape=(50, 100, 3), scale_factor=(0.5, 0.5), flip=False), Chip.full((200, 100), (100, 50))),
        (dict(img_shape=(50, 100), flip=True, flip_direction='horizontal'), Chip.full((200, 100), (100, 50), True)),
        # Padded to 64x128 after resizing.
        (dict(img_shape=(64, 128), scale_factor=(0.5, 0.5)), Chip.full((200, 100), (100, 50))),
        (dict(img_shape=(10, 20), chip=Chip((3, 4, 23, 14), (20, 10))), Chip((3, 4, 23, 14), (20, 10))),
    ],
)
def test_chip_of_view(metainfo, expected):
    assert chip_of_view(dict(ORIGINAL, **metainfo)) == expected


@pytest.mark.parametrize(
    ('size_wh', 'image_wh'), [((1333, 800), (641, 479)), ((333, 200), (500, 333)), ((64, 64), (7, 3))]
)
def test_chip_of_mmdets_own_views(size_wh, image_wh):
    register_all_modules()
    pipeline = Compose(
        [
            dict(type='Resize', scale=size_wh, keep_ratio=True),
            dict(type='RandomFlip', prob=1.0),
            dict(type='Pad', size_divisor=32),
        ]
    )
    image = np.zeros((*image_wh[::-1], 3), np.uint8)
    results = pipeline(dict(img=image, img_shape=image.shape[:2], ori_shape=image.shape[:2]))
    factor = min(max(size_wh) / max(image_wh), min(size_wh) / min(image_wh))
    expected = tuple(int(side * factor + 0.5) for side in image_wh)
    assert chip_of_view(results) == Chip.full(image_wh, expected, flip=True)


@pytest.mark.parametrize(
    ('metainfo', 'message'),
    [
        (dict(img_shape=(100, 200), flip=True, flip_direction='vertical'), "flip_direction='vertical'"),
        (dict(img_shape=(100, 200), flip=True, flip_direction='diagonal'), "flip_direction='diagonal'"),
        (
            dict(img_shape=(60, 90), scale_factor=(1.0, 1.0)),
            'a view of 90x60 px cannot be the whole image at 200x100 px',
        ),
        (dict(), 'needs img_shape in its meta keys'),
    ],
)
def test_views_that_cannot_be_merged(metainfo, message):
    with pytest.raises(ValueError, match=message):
        chip_of_view(dict(ORIGINAL, **metainfo))


def test_metainfo_of_image():
    view = dict(
        ORIGINAL,
        img_id=7,
        img_path='a.jpg',
        img_shape=(50, 100),
        scale_factor=(0.5, 0.5),
        flip=True,
        flip_direction='horizontal',
        pad_shape=(64, 128),
        batch_input_shape=(64, 128),
        chip=Chip.full((200, 100)),
        scale_range=(16, 560),
    )
    expected = dict(
        ORIGINAL,
        img_id=7,
        img_path='a.jpg',
        img_shape=(100, 200),
        scale_factor=(1.0, 1.0),
        flip=False,
        flip_direction=None,
    )
    assert metainfo_of_image(view) == expected
    assert view['flip'] is True


@pytest.mark.parametrize(
    ('kwargs', 'expected'),
    [
        (dict(), ViewFilter()),
        (dict(scale_range=(16, 560)), ViewFilter(ScaleRange(16, 560))),
        (dict(scale_range=[16, None]), ViewFilter(ScaleRange(16, math.inf))),
        (dict(scale_range=dict(lower=3, frame='original')), ViewFilter(ScaleRange(3, frame='original'))),
        (dict(scale_range=[(0, 80), [40, 160]]), [ViewFilter(ScaleRange(0, 80)), ViewFilter(ScaleRange(40, 160))]),
        (dict(scale_range=[None, ScaleRange(1, 2)]), [ViewFilter(), ViewFilter(ScaleRange(1, 2))]),
        (dict(view_filter=dict(edge_margin=5)), ViewFilter(edge_margin=5)),
        (dict(view_filter=[dict(scale_range=(0, 9)), None]), [ViewFilter(ScaleRange(0, 9)), ViewFilter()]),
    ],
)
def test_build_view_filters(kwargs, expected):
    assert build_view_filters(**kwargs) == expected


@pytest.mark.parametrize(
    'kwargs',
    [dict(scale_range=(1, 2), view_filter=dict()), dict(scale_range=(5, 2)), dict(scale_range=[(1, 2), (5, 2)])],
)
def test_bad_view_filters(kwargs):
    with pytest.raises(ValueError, match=r'not both|lower < upper'):
        build_view_filters(**kwargs)
