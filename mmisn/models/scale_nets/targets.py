"""What each pixel of an image should say: the scale of the object that it belongs to (ScaleNet, "Proposed Approach").

Pure functions. N objects, h and w height and width of the image as the network sees it, boxes xyxy in its pixels.
"""

from typing import Any

import numpy as np
from mmdet.structures.bbox import BaseBoxes
from mmdet.structures.mask import BitmapMasks, PolygonMasks

from mmisn.structures import clip_boxes, scales_of_boxes

from .scale_classes import IGNORED, IGNORED_SCALE, ScaleClasses, check_measure

# Of object maps.
NO_OBJECT = -1
IGNORED_OBJECT = -2


def object_masks(boxes_xyxy: np.ndarray, masks: np.ndarray | None, size_hw: tuple[int, int]) -> np.ndarray:
    """The pixels of each object: its mask, or its box where it has none.

    Args:
        boxes_xyxy: (N, 4) boxes.
        masks: (N, h, w) array, anything but 0 is mask, or ``None`` where no object has one. An empty mask counts as
            none.
        size_hw: Height and width of the image.

    Returns:
        (N, h, w) bool array. A box holds the pixels whose centre it holds, at least the one at its own centre, so that
        an object thinner than a pixel is there as well. A box off the image holds none.

    Raises:
        ValueError: If the masks are not one per box, or of another size than the image.
    """
    boxes = np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4)
    shape = (len(boxes), *size_hw)
    if masks is None:
        pixels = np.zeros(shape, bool)
    else:
        pixels = np.asarray(masks).reshape(-1, *np.shape(masks)[-2:]) != 0
        if pixels.shape != shape:
            raise ValueError(
                f'{len(boxes)} objects of an image of {size_hw[1]}x{size_hw[0]} px need masks of shape {shape}, got '
                f'{pixels.shape}'
            )
    for i in np.flatnonzero(~pixels.any(axis=(1, 2))):
        rows, columns = _box_pixels(boxes[i], size_hw)
        pixels[i, rows, columns] = True
    return pixels


def _box_pixels(box_xyxy: np.ndarray, size_hw: tuple[int, int]) -> tuple[slice, slice]:
    height, width = size_hw
    x1, y1, x2, y2 = clip_boxes(box_xyxy[None], (width, height))[0]
    if x2 <= x1 or y2 <= y1:
        return slice(0, 0), slice(0, 0)
    return _centres_inside(y1, y2, height), _centres_inside(x1, x2, width)


def _centres_inside(start: float, end: float, side: int) -> slice:
    """The pixels whose centre lies in [start, end), at least the one that holds the middle."""
    first, last = int(np.ceil(start - 0.5)), int(np.ceil(end - 0.5))
    if first < last:
        return slice(first, last)
    middle = min(int((start + end) / 2), side - 1)
    return slice(middle, middle + 1)


def object_scales(boxes_xyxy: np.ndarray, pixels: np.ndarray, measure: str) -> np.ndarray:
    """The scale of each object.

    Args:
        boxes_xyxy: (N, 4) boxes.
        pixels: (N, h, w) bool, see ``object_masks``.
        measure: ``sqrt_box`` or ``mask_area``.

    Returns:
        (N,) float64: sqrt(w * h) of the boxes in pixels, or the number of pixels.

    Raises:
        ValueError: If the measure is unknown.
    """
    if check_measure(measure) == 'sqrt_box':
        return scales_of_boxes(np.asarray(boxes_xyxy, dtype=np.float64).reshape(-1, 4))
    return pixels.sum(axis=(1, 2)).astype(np.float64)


def object_map(pixels: np.ndarray, scales: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """Which object each pixel shows: of several, the smallest; of equally small ones, the last.

    Ignored regions (crowds) take part in this order: a small object in front of a crowd is an object, a crowd in front
    of a large object is ignored.

    Args:
        pixels: (N, h, w) bool.
        scales: (N,) scales.
        ignored: (N,) bool.

    Returns:
        (h, w) int32: the object's index, ``NO_OBJECT`` or ``IGNORED_OBJECT``.
    """
    found = np.full(pixels.shape[1:], NO_OBJECT, np.int32)
    for i in np.argsort(-np.asarray(scales), kind='stable'):
        found[pixels[i]] = IGNORED_OBJECT if ignored[i] else i
    return found


def class_map(objects: np.ndarray, scales: np.ndarray, classes: ScaleClasses) -> np.ndarray:
    """The class of each pixel.

    Args:
        objects: (h, w), see ``object_map``.
        scales: (N,) scales in the measure of ``classes``.
        classes: The classes.

    Returns:
        (h, w) uint8: 0 for background, ``IGNORED`` where there is no telling.
    """
    # The last two entries are those that indices -2 and -1 reach.
    table = np.concatenate([classes.classes_of(scales), np.array([IGNORED, 0], np.uint8)])
    return table[objects]


def relative_scale_map(objects: np.ndarray, scales: np.ndarray, measure: str, unit: float) -> np.ndarray:
    """The relative scale of each pixel.

    Args:
        objects: (h, w), see ``object_map``.
        scales: (N,) scales in ``measure``.
        measure: ``sqrt_box`` or ``mask_area``; of an area, the square root counts.
        unit: The scale, in pixels, that is 1.

    Returns:
        (h, w) float32: 0 for background, ``IGNORED_SCALE`` where there is no telling.
    """
    lengths = np.sqrt(scales) if check_measure(measure) == 'mask_area' else np.asarray(scales, dtype=np.float64)
    table = np.concatenate([lengths / unit, [IGNORED_SCALE, 0.0]]).astype(np.float32)
    return table[objects]


class ImageObjects:
    """The objects of one image as a network sees it, read from a data sample.

    Args:
        sample: A ``DetDataSample`` or its dict, with ``gt_instances`` (bboxes (N, 4) and, where they were loaded,
            masks) and perhaps ``ignored_instances`` likewise, in pixels of the image as the network sees it.
        measure: ``sqrt_box`` or ``mask_area``.

    Attributes:
        measure: As given.
        scales: (N,) float64, ignored ones last.
        ignored: (N,) bool.
        map: (h, w) int32, see ``object_map``.

    Raises:
        ValueError: If there are no boxes, or the masks do not fit them.
    """

    def __init__(self, sample: Any, measure: str) -> None:
        size_hw = tuple(sample['img_shape'][:2] if isinstance(sample, dict) else sample.img_shape[:2])
        parts = [sample.get(key) for key in ('gt_instances', 'ignored_instances')]
        if parts[0] is None or 'bboxes' not in parts[0]:
            raise ValueError(
                f'{_path_of(sample)}: a scale map is made of gt_instances with bboxes, which are not there; load them '
                'with LoadMasksOrBoxes'
            )
        boxes, pixels, ignored = [], [], []
        for part, is_ignored in zip(parts, (False, True)):
            if part is None or 'bboxes' not in part:
                continue
            try:
                of_part = _boxes_of(part['bboxes'])
                pixels.append(object_masks(of_part, _masks_of(part.get('masks')), size_hw))
            except ValueError as error:
                raise ValueError(f'{_path_of(sample)}: {error}') from error
            boxes.append(of_part)
            ignored += [is_ignored] * len(of_part)
        pixels = np.concatenate(pixels)
        self.scales = object_scales(np.concatenate(boxes), pixels, measure)
        self.ignored = np.array(ignored, dtype=bool)
        self.measure = measure
        self.map = object_map(pixels, self.scales, self.ignored)


def _path_of(sample: Any) -> str:
    return str(sample.get('img_path', 'an image'))


def _boxes_of(boxes: Any) -> np.ndarray:
    tensor = boxes.tensor if isinstance(boxes, BaseBoxes) else boxes
    array = tensor.cpu().numpy() if hasattr(tensor, 'cpu') else np.asarray(tensor)
    if not np.isfinite(array).all():
        raise ValueError(f'boxes must be finite, got {array[~np.isfinite(array).all(axis=-1)].tolist()}')
    return array.astype(np.float64).reshape(-1, 4)


def _masks_of(masks: Any) -> np.ndarray | None:
    if masks is None or isinstance(masks, np.ndarray):
        return masks
    if isinstance(masks, (BitmapMasks, PolygonMasks)):
        return masks.to_ndarray()
    return masks.cpu().numpy()
