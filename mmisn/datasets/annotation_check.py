"""What a COCO-format annotation file holds that training will not see, and what is plainly wrong with it.

``CocoDataset`` passes over annotations in silence; a user should know how many, and why.
"""

import json
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmdet.registry import DATASETS
from PIL import Image


@dataclass(frozen=True)
class AnnotationReport:
    """What an annotation file holds.

    Attributes:
        num_images: Images in the file.
        left_out: For each reason the number of annotations that ``CocoDataset`` passes over.
        remarks: For each remark on masks the number of the annotations that are kept nevertheless.
    """

    num_images: int
    left_out: dict[str, int]
    remarks: dict[str, int] = field(default_factory=dict)


def check_annotations(
    ann_file: str | Path, classes: Sequence[str] | None = None, keeps_ignored: bool = False
) -> AnnotationReport:
    """Count what ``CocoDataset`` leaves out of an annotation file.

    Args:
        ann_file: COCO-format json.
        classes: Class names of the dataset's metainfo; by default those of the file.
        keeps_ignored: Whether the dataset takes ``ignore: 1`` as an ignored region (``CocoKeypointDataset``), where
            ``CocoDataset`` leaves the annotation out.

    Raises:
        ValueError: If the file is not COCO json, has no annotations, a box holds NaN or infinity or is no box, a mask
            is of another size than its image or holds NaN, an annotation names an unknown image, or no class name
            matches.
    """
    coco = _read(ann_file)
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco.get(key), list):
            raise ValueError(f'{ann_file} is no COCO annotation file: it has no list "{key}"')
    if not coco['annotations']:
        raise ValueError(f'{ann_file} has no annotations: there is nothing to train on')
    _check_records(coco, ann_file)
    names = {c['id']: c['name'] for c in coco['categories']}
    classes = list(names.values()) if classes is None else classes
    if not set(names.values()) & set(classes):
        raise ValueError(
            f'{ann_file} has the categories {sorted(names.values())}, the dataset the classes {list(classes)}: '
            'none is the same. Give the dataset metainfo=dict(classes=...) with the names of the file'
        )
    sizes = {i['id']: (i['width'], i['height']) for i in coco['images']}
    left_out: Counter = Counter()
    remarks: Counter = Counter()
    for ann in coco['annotations']:
        reason = _reason_to_skip(ann, sizes, names, classes, ann_file, keeps_ignored)
        if reason is not None:
            left_out[reason] += 1
            continue
        remark = check_mask(ann.get('segmentation'), sizes[ann['image_id']], f'{ann_file}: annotation {ann["id"]}')
        remarks.update([remark] * (remark is not None))
    return AnnotationReport(len(sizes), dict(left_out), dict(remarks))


# Remarks on masks; polygons of fewer than 3 points are left out by mmdet's LoadAnnotations.
SHORT_POLYGON = 'annotations with a mask polygon of fewer than 3 points or an odd count of numbers, which is left out'
NO_POLYGON = 'annotations whose mask has no polygon of 3 points: ignored regions where masks are trained'


def check_mask(segmentation: Any, image_wh: tuple[int, int], where: str) -> str | None:
    """Look at the mask of an annotation.

    Args:
        segmentation: Polygons or RLE, as COCO has them; ``None`` or empty for no mask.
        image_wh: Width and height of the image.
        where: File and annotation, for error messages.

    Returns:
        ``SHORT_POLYGON``, ``NO_POLYGON`` or ``None``.

    Raises:
        ValueError: If it is neither, an RLE is of another size than the image, or a coordinate is no finite number.
    """
    if not segmentation:
        return None
    if isinstance(segmentation, dict):
        _check_rle(segmentation, image_wh, where)
        return None
    if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
        raise ValueError(f'{where} has a mask that is neither a list of polygons nor a run-length code')
    for polygon in segmentation:
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in polygon):
            raise ValueError(f'{where} has the mask polygon {polygon[:8]}...; its coordinates must be finite numbers')
    whole = [len(p) >= 6 and len(p) % 2 == 0 for p in segmentation]
    if all(whole):
        return None
    return SHORT_POLYGON if any(whole) else NO_POLYGON


def _read(ann_file: str | Path) -> dict:
    try:
        with open(ann_file) as file:
            coco = json.load(file)
    except json.JSONDecodeError as error:
        raise ValueError(f'{ann_file} is no valid json: {error}') from error
    if not isinstance(coco, dict):
        raise ValueError(f'{ann_file} is no COCO annotation file: its top level is a {type(coco).__name__}')
    return coco


# What every record of a list must have, and of which type.
_REQUIRED = {
    'images': dict(id=(int, str), file_name=str, width=int, height=int),
    'categories': dict(id=int, name=str),
    'annotations': dict(id=(int, str), image_id=(int, str), category_id=int, area=(int, float)),
}


def _check_records(coco: dict, ann_file: str | Path) -> None:
    for kind, required in _REQUIRED.items():
        seen = set()
        for record in coco[kind]:
            for key, types in required.items():
                if not isinstance(record.get(key), types) or isinstance(record.get(key), bool):
                    hint = ' (the mask area, or width * height)' if key == 'area' else ''
                    raise ValueError(
                        f'{ann_file}: {kind} {record.get("id")} has {key!r}: {record.get(key)!r}; '
                        f'{_spell_types(types)} is needed there{hint}'
                    )
            if record['id'] in seen:
                raise ValueError(f'{ann_file}: two {kind} have the id {record["id"]}')
            seen.add(record['id'])


def _spell_types(types: type | tuple[type, ...]) -> str:
    return ' or '.join(t.__name__ for t in (types if isinstance(types, tuple) else (types,)))


def _check_rle(rle: dict, image_wh: tuple[int, int], where: str) -> None:
    width, height = image_wh
    if rle.get('size') != [height, width]:
        raise ValueError(
            f'{where} has a run-length mask of size {rle.get("size")}, its image is (height, width) {[height, width]}'
        )
    counts = rle.get('counts')
    if not isinstance(counts, (str, list)):
        raise ValueError(f'{where} has a run-length mask with counts {counts!r}; a string or a list is needed')
    if isinstance(counts, list) and sum(counts) != width * height:
        raise ValueError(
            f'{where} has a run-length mask whose counts sum up to {sum(counts)}, its image has {width * height} pixels'
        )


def _reason_to_skip(
    ann: dict, sizes: dict, names: dict, classes: Sequence[str], ann_file: str | Path, keeps_ignored: bool
) -> str | None:
    where = f'{ann_file}: annotation {ann.get("id")}'
    box = ann.get('bbox')
    if not isinstance(box, list) or len(box) != 4:
        raise ValueError(f'{where} has the box {box}; a COCO box is [x, y, width, height]')
    if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in box):
        raise ValueError(f'{where} has the box {box}; its four numbers must be finite')
    if ann['image_id'] not in sizes:
        raise ValueError(f'{where} belongs to image {ann["image_id"]}, which is not in the file')
    if names.get(ann['category_id']) not in classes:
        return 'of a category that is not among the classes'
    if ann.get('ignore') and not keeps_ignored:
        return 'marked "ignore" (trained as background; "iscrowd": 1 makes an ignored region)'
    x, y, w, h = box
    if w < 1 or h < 1:
        return 'a box with a side below 1 px'
    if not ann['area'] > 0:
        return 'an area that is not positive'
    width, height = sizes[ann['image_id']]
    if x >= width or y >= height or x + w <= 0 or y + h <= 0:
        return 'a box that lies off the image'
    return None


# Number of the orientation among the EXIF tags.
_ORIENTATION = 0x0112
# Last bytes of a whole file.
_END_MARKS = {'JPEG': b'\xff\xd9', 'PNG': b'IEND\xaeB`\x82'}


def check_image_file(path: str | Path, width: int, height: int) -> str | None:
    """Look at an image file without decoding it.

    OpenCV fills the missing part of a truncated JPEG with grey and says nothing, so the end mark is looked for here.

    Returns:
        What is wrong with the file, or ``None``.
    """
    try:
        with Image.open(path) as image:
            size, kind = image.size, image.format
            # Loading applies the orientation; from 5 on it swaps the sides.
            if kind == 'JPEG' and image.getexif().get(_ORIENTATION, 1) >= 5:
                size = size[::-1]
    except FileNotFoundError:
        return 'is missing'
    except OSError as error:
        return f'cannot be read: {error}'
    if size != (width, height):
        return f'is {size[0]}x{size[1]} px, but its annotation says {width}x{height}'
    if kind in _END_MARKS and not _has_end_mark(Path(path), _END_MARKS[kind]):
        return 'is truncated'
    return None


def _has_end_mark(path: Path, mark: bytes) -> bool:
    with open(path, 'rb') as file:
        file.seek(0, 2)
        # Cameras pad files with zeros after the mark; the whole file is searched only where a film or the like follows.
        file.seek(max(0, file.tell() - 4096))
        return mark in file.read() or mark in path.read_bytes()


def is_coco_dataset(dataset) -> bool:
    """Whether a built dataset reads COCO json, so that ``check_annotations`` applies."""
    return isinstance(dataset, DATASETS.get('CocoDataset'))
