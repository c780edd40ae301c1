import contextlib
import io

import numpy as np
import pytest
from pycocotools import mask as mask_utils
from pycocotools.coco import COCO

IMAGE_HW = (360, 400)
CAT_IDS = (3, 7, 9)


def build_coco(images, annotations, categories=CAT_IDS):
    """A COCO object of image ids, annotations and category ids."""
    coco = COCO()
    coco.dataset = dict(
        images=[dict(id=i, height=IMAGE_HW[0], width=IMAGE_HW[1], file_name=f'{i}.jpg') for i in images],
        annotations=annotations,
        categories=[dict(id=c, name=f'class_{c}') for c in categories],
    )
    with contextlib.redirect_stdout(io.StringIO()):
        coco.createIndex()
    return coco


def diamond(xywh):
    """A polygon that touches the middle of each side of the box: half the area of the box."""
    x, y, w, h = xywh
    return [x + w / 2, y, x + w, y + h / 2, x + w / 2, y + h, x, y + h / 2]


def rle_of(polygon):
    rle = mask_utils.frPyObjects([polygon], *IMAGE_HW)[0]
    return dict(size=list(rle['size']), counts=rle['counts'].decode())


def random_boxes(rng, count):
    """(count, 4) xywh boxes of scales from 4 to 250, inside the image."""
    scale = 2 ** rng.uniform(2, 8, count)
    root = 2 ** rng.uniform(-0.5, 0.5, count)
    wh = np.minimum(np.stack([scale * root, scale / root], 1), np.array(IMAGE_HW[::-1]) - 2)
    xy = rng.uniform(0, 1, (count, 2)) * (np.array(IMAGE_HW[::-1]) - 1 - wh)
    return np.concatenate([xy, wh], 1)


def random_scene(seed, num_images=7):
    """Gts and detections: crowds, an image without either, one without gts, one without detections.

    The detections are moved gts, some of them twice, and boxes of nothing.
    """
    rng = np.random.default_rng(seed)
    anns, dets = [], []
    for image_id in range(1, num_images + 1):
        boxes = random_boxes(rng, 0 if image_id in (2, 3) else 12)
        cats = rng.choice(CAT_IDS, len(boxes))
        for i, (box, cat) in enumerate(zip(boxes, cats)):
            polygon = diamond(box)
            crowd = int(i % 6 == 5)
            ann = dict(id=len(anns) + 1, image_id=image_id, category_id=int(cat), iscrowd=crowd, bbox=box.tolist())
            ann['segmentation'] = rle_of(polygon) if crowd else [polygon]
            ann['area'] = box[2] * box[3] * rng.uniform(0.4, 0.9)
            anns.append(ann)
        if image_id in (2, 4):
            continue
        found = np.repeat(np.arange(len(boxes)), rng.integers(0, 3, len(boxes)))
        moved = boxes[found] + rng.normal(0, 0.06, (len(found), 4)) * boxes[found][:, [2, 3, 2, 3]]
        dt_boxes = np.concatenate([moved, random_boxes(rng, 6)])
        dt_cats = np.concatenate([cats[found], rng.choice(CAT_IDS, 6)])
        for box, cat in zip(dt_boxes, dt_cats):
            dets.append(
                dict(
                    image_id=image_id,
                    category_id=int(cat),
                    bbox=box.tolist(),
                    segmentation=rle_of(diamond(box)),
                    score=float(rng.uniform()),
                )
            )
    return build_coco(range(1, num_images + 1), anns), dets


@pytest.fixture
def scenes():
    """The functions of this file, for the tests."""

    class Scenes:
        build_coco = staticmethod(build_coco)
        diamond = staticmethod(diamond)
        rle_of = staticmethod(rle_of)
        random_scene = staticmethod(random_scene)
        image_hw = IMAGE_HW
        cat_ids = CAT_IDS

    return Scenes
