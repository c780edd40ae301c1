"""COCO's images and objects as numbers: from a real COCO folder, or drawn from a distribution that is like it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from mmdet.registry import DATASETS

from mmisn.datasets.chip_plan import ImageObjects
from mmisn.testing.real_data import real_data_root

# Objects per image with objects in COCO 2017 train: 860,001 / 117,266.
MEAN_OBJECTS = 7.3
# Of the 1,626 boxes of a sample of COCO 2017: the median of sqrt(w * h) in px, and the standard deviations of its
# logarithm and of that of w / h.
MEDIAN_SCALE, LOG_SCALE_STD, LOG_ASPECT_STD = 46.0, 1.05, 0.75
MIN_SIDE = 2.0
# Width, height and share of the usual sizes; the rest has a long side of 640 px and another short one.
SIZES = ((640, 480, 0.35), (640, 427, 0.2), (480, 640, 0.1), (427, 640, 0.07), (500, 375, 0.08), (375, 500, 0.04))
OTHER_SHORT_SIDES = (320, 641)


@dataclass(frozen=True)
class CocoFolder:
    """A data set in COCO's format.

    Attributes:
        root: Folder with ``images/``.
        ann_file: Annotation file, relative to ``root``.
        name: What a table calls it.
    """

    root: Path
    ann_file: str
    name: str

    def dataset_cfg(self) -> dict:
        """Config of an mmdet ``CocoDataset`` that holds the images with objects, as for training."""
        return dict(
            type='CocoDataset',
            data_root=str(self.root),
            ann_file=self.ann_file,
            data_prefix=dict(img='images/'),
            filter_cfg=dict(filter_empty_gt=True, min_size=32),
        )

    def objects(self) -> list[ImageObjects]:
        """Sizes and boxes (crowds left out) of the images with objects."""
        dataset = DATASETS.build(dict(**self.dataset_cfg(), pipeline=[]))
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        return [
            ImageObjects(
                (info['width'], info['height']), _boxes([i for i in info['instances'] if not i['ignore_flag']])
            )
            for info in infos
        ]


def _boxes(instances: Sequence[dict]) -> np.ndarray:
    return np.array([i['bbox'] for i in instances], np.float64).reshape(-1, 4)


def find_coco_folder(folder: str | None) -> CocoFolder | None:
    """The data set to measure on.

    Args:
        folder: Folder with ``images/`` and ``annotations/instances_train*.json``; ``None`` for the optional real data
            beside the checkout.

    Returns:
        The data set, or ``None`` where no folder is named and there is no real data.

    Raises:
        ValueError: If the named folder lacks the images or the annotations.
    """
    if folder is None:
        if real_data_root() is None:
            return None
        folder = real_data_root() / 'coco_mini'
    root = Path(folder)
    ann_files = sorted((root / 'annotations').glob('instances_train*.json'))
    if not (root / 'images').is_dir() or not ann_files:
        raise ValueError(f'{root} must have images/ and annotations/instances_train*.json')
    return CocoFolder(root, f'annotations/{ann_files[0].name}', root.name)


def coco_like_objects(
    number: int,
    rng: np.random.Generator,
    image_wh: tuple[int, int] | None = None,
    num_objects: int | None = None,
) -> list[ImageObjects]:
    """Draw images that are like COCO's.

    Sizes: ``SIZES``. Objects per image: geometric from 1, ``MEAN_OBJECTS`` on average. sqrt(w * h) and w / h of a box:
    log-normal with the constants above, then a side is cut to the image's. Place: uniform inside the image.

    Args:
        number: How many images.
        rng: Source of all numbers.
        image_wh: A fixed size instead.
        num_objects: A fixed number of objects instead.
    """
    shares = [share for *_, share in SIZES]
    images = []
    for _ in range(number):
        wh = image_wh
        if wh is None:
            chosen = rng.choice(len(SIZES) + 1, p=[*shares, 1 - sum(shares)])
            wh = SIZES[chosen][:2] if chosen < len(SIZES) else (640, int(rng.integers(*OTHER_SHORT_SIDES)))
        count = int(rng.geometric(1 / MEAN_OBJECTS)) if num_objects is None else num_objects
        scales = MEDIAN_SCALE * np.exp(LOG_SCALE_STD * rng.standard_normal(count))
        half_aspects = np.exp(LOG_ASPECT_STD / 2 * rng.standard_normal(count))
        sides = np.stack([scales * half_aspects, scales / half_aspects], axis=1).clip(MIN_SIDE, wh)
        corners = rng.random((count, 2)) * (np.array(wh) - sides)
        images.append(ImageObjects(wh, np.concatenate([corners, corners + sides], axis=1)))
    return images


def write_coco_like(folder: Path, number: int, rng: np.random.Generator) -> CocoFolder:
    """Write a data set of drawn images: JPEGs of noise whose octaves have equal strength, as in photographs."""
    (folder / 'images').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    images, annotations = [], []
    for i, objects in enumerate(coco_like_objects(number, rng), 1):
        name, (width, height) = f'{i:012d}.jpg', objects.image_wh
        cv2.imwrite(str(folder / 'images' / name), _noise(objects.image_wh, rng))
        images.append(dict(id=i, file_name=name, width=width, height=height))
        for x1, y1, x2, y2 in objects.boxes_xyxy.tolist():
            box = dict(bbox=[x1, y1, x2 - x1, y2 - y1], area=(x2 - x1) * (y2 - y1))
            annotations.append(dict(id=len(annotations) + 1, image_id=i, category_id=1, iscrowd=0, **box))
    # mmdet's CocoDataset looks classes up by name; one of COCO's is enough.
    content = dict(images=images, annotations=annotations, categories=[dict(id=1, name='person')])
    (folder / 'annotations' / 'instances_train.json').write_text(json.dumps(content))
    return CocoFolder(folder, 'annotations/instances_train.json', 'drawn images')


def _noise(image_wh: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """(H, W, 3) uint8 picture, a sum of noise at seven octaves."""
    width, height = image_wh
    total = np.zeros((height, width, 3), np.float32)
    for octave in range(7):
        side = 2**octave
        coarse = rng.standard_normal((-(-height // side) + 1, -(-width // side) + 1, 3), dtype=np.float32)
        total += cv2.resize(coarse, (coarse.shape[1] * side, coarse.shape[0] * side))[:height, :width]
    return np.clip(128 + 20 * total, 0, 255).astype(np.uint8)
