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

from mmdet.datasets.transforms import LoadAnnotations
from mmdet.registry import DATASETS
from PIL import Image

from .transforms import LoadMasksOrBoxes


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

    def lines(self) -> list[str]:
        """What is left out and remarked on, in words, one reason a line."""
        return [f'{number} annotations left out: {why}' for why, number in self.left_out.items()] + [
            f'{number} {remark}' for remark, number in self.remarks.items()
        ]


def check_annotations(
    ann_file: str | Path,
    classes: Sequence[str] | None = None,
    keeps_ignored: bool = False,
    masks: str | None = None,
    needs_masks: bool = False,
) -> AnnotationReport:
    """Count what ``CocoDataset`` leaves out of an annotation file.

    Args:
        ann_file: COCO-format json.
        classes: Class names of the dataset's metainfo; by default those of the file.
        keeps_ignored: Whether the dataset takes ``ignore: 1`` as an ignored region (``CocoKeypointDataset``), where
            ``CocoDataset`` leaves the annotation out.
        masks: How masks are loaded, see ``loaded_masks``. If they are, an object whose mask cannot be used is an
            ignored region.
        needs_masks: Whether an annotation without a mask is an error, not an ignored region: mmdet's
            ``LoadAnnotations`` stops at it, unless a ``ChipDataset`` has seen to it.

    Raises:
        ValueError: If the file is not COCO json, has no annotations, a box holds NaN or infinity or is no box, a mask
            is of another size than its image or holds NaN, an annotation names an unknown image, no class name
            matches, or masks are loaded and there are none to train on.
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
    kept = []
    for ann in coco['annotations']:
        reason = _reason_to_skip(ann, sizes, names, classes, ann_file, keeps_ignored)
        if reason is None:
            kept.append(ann)
        else:
            left_out[reason] += 1
    return AnnotationReport(len(sizes), dict(left_out), _check_masks(kept, sizes, ann_file, masks, needs_masks))


def _check_masks(
    annotations: Sequence[dict], sizes: dict, ann_file: str | Path, masks: str | None, needs_masks: bool
) -> dict[str, int]:
    """Counts of the remarks on masks; arguments as those of ``check_annotations``."""
    useless = _USELESS[masks]
    remarks: Counter = Counter()
    num_objects = num_ignored = 0
    for ann in annotations:
        where = f'{ann_file}: annotation {ann["id"]}'
        remark = check_mask(ann.get('segmentation'), sizes[ann['image_id']], where)
        if needs_masks and masks is not None and remark == NO_MASK:
            raise ValueError(
                f'{where} has no mask, and LoadAnnotations(with_mask=True) stops there; give it a "segmentation", '
                'leave it out of the file, or train on a ChipDataset, where it is an ignored region'
            )
        # What is an ignored region anyway needs no mask.
        is_object = not (ann.get('iscrowd') or ann.get('ignore'))
        if remark in (SHORT_POLYGON, NO_POLYGON) or (is_object and remark in useless):
            remarks[remark] += 1
        num_objects += is_object
        num_ignored += is_object and remark in useless
    if num_objects and num_ignored == num_objects:
        counts = '; '.join(f'{number} {remark}' for remark, number in remarks.items())
        way_out = (
            'LoadAnnotations(poly2mask=True) takes run-length masks'
            if RUN_LENGTH in remarks
            else 'Load boxes alone (with_mask=False, and a detector without mask head), or give the annotations a '
            '"segmentation"'
        )
        raise ValueError(f'{ann_file} has no mask to train on, but the pipeline loads masks: {counts}. {way_out}')
    return dict(remarks)


# Remarks on masks; polygons of fewer than 3 points are left out by mmdet's LoadAnnotations.
SHORT_POLYGON = 'annotations with a mask polygon of fewer than 3 points or an odd count of numbers, which is left out'
NO_POLYGON = 'annotations whose mask has no polygon of 3 points: ignored regions where masks are trained'
NO_MASK = 'annotations without a mask: ignored regions where masks are trained'
RUN_LENGTH = 'annotations with a run-length mask: ignored regions where polygons are trained (poly2mask=False)'
# What makes ignored regions, by how masks are loaded.
_USELESS = {None: (), 'bitmap': (NO_MASK, NO_POLYGON), 'polygon': (NO_MASK, NO_POLYGON, RUN_LENGTH)}


def check_mask(segmentation: Any, image_wh: tuple[int, int], where: str) -> str | None:
    """Look at the mask of an annotation.

    Args:
        segmentation: Polygons or RLE, as COCO has them; ``None`` or empty for no mask.
        image_wh: Width and height of the image.
        where: File and annotation, for error messages.

    Returns:
        ``SHORT_POLYGON``, ``NO_POLYGON``, ``NO_MASK``, ``RUN_LENGTH`` or ``None``.

    Raises:
        ValueError: If it is neither, an RLE is of another size than the image, or a coordinate is no finite number.
    """
    if not segmentation:
        return NO_MASK
    if isinstance(segmentation, dict):
        _check_rle(segmentation, image_wh, where)
        return RUN_LENGTH
    if not isinstance(segmentation, list) or not all(isinstance(p, list) for p in segmentation):
        raise ValueError(f'{where} has a mask that is neither a list of polygons nor a run-length code')
    for polygon in segmentation:
        if not all(isinstance(v, (int, float)) and math.isfinite(v) for v in polygon):
            raise ValueError(f'{where} has the mask polygon {polygon[:8]}...; its coordinates must be finite numbers')
    whole = [_is_polygon(p) for p in segmentation]
    if all(whole):
        return None
    return SHORT_POLYGON if any(whole) else NO_POLYGON


def loaded_masks(pipeline: Any) -> str | None:
    """How a pipeline loads masks that annotations must have: ``bitmap``, ``polygon`` (``poly2mask=False``) or ``None``.

    Args:
        pipeline: A transform, or a ``Compose`` or wrapper with ``transforms``.
    """
    # LoadMasksOrBoxes has a mask for everything.
    if isinstance(pipeline, LoadAnnotations) and not isinstance(pipeline, LoadMasksOrBoxes) and pipeline.with_mask:
        return 'bitmap' if pipeline.poly2mask else 'polygon'
    inner = getattr(pipeline, 'transforms', None)
    inner = inner if isinstance(inner, (list, tuple)) else [] if inner is None else [inner]
    return next((found for transform in inner if (found := loaded_masks(transform))), None)


def ignore_objects_without_mask(info: dict, masks: str | None) -> None:
    """Make ignored regions of the objects whose mask cannot be used, in place.

    mmdet's ``LoadAnnotations`` stops at an object without a mask (``KeyError``); the others it ignores, too.

    Args:
        info: Data info of an mmdet dataset.
        masks: What ``loaded_masks`` said.
    """
    if masks is None:
        return
    for instance in info['instances']:
        mask = instance.setdefault('mask', [])
        if isinstance(mask, dict):
            usable = masks == 'bitmap'
        else:
            usable = any(_is_polygon(p) for p in mask)
        if not usable:
            instance['ignore_flag'] = 1


def _is_polygon(numbers: Sequence[float]) -> bool:
    return len(numbers) >= 6 and len(numbers) % 2 == 0


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
