"""Keypoints of COCO annotations: read, checked, and counted where something is left out."""

import math
from collections import Counter
from typing import Any

import numpy as np

# Annotators' coordinates may end a rounding step beyond the image or the box.
TOLERANCE_PX = 1.0

# Reasons, as they are counted.
NO_KEYPOINTS = 'objects without any labelled keypoint (their boxes are trained on)'
OFF_IMAGE = 'labelled keypoints outside the image, taken as unlabelled'
OFF_BOX = 'labelled keypoints outside their box, kept'
OTHER_CLASS = 'objects whose keypoints are left out: their category describes none, while another of the classes does'


def read_keypoints(
    annotation: dict[str, Any], num_keypoints: int, image_wh: tuple[int, int], where: str
) -> tuple[np.ndarray, Counter]:
    """The keypoints of an annotation.

    Args:
        annotation: COCO annotation; without ``keypoints``, or with an empty list, none is labelled.
        num_keypoints: K.
        image_wh: Width and height of the image.
        where: File and annotation, for error messages.

    Returns:
        (K, 3) float64 x, y (original pixels) and visibility: 0 not labelled (x = y = 0 then), 1 hidden, 2 visible; and
        how often something deserved a remark.

    Raises:
        ValueError: If the list has another length, a number is no finite one, a visibility is not 0, 1 or 2, or
            ``num_keypoints`` says another number than are labelled.
    """
    values = annotation.get('keypoints') or [0] * (3 * num_keypoints)
    if not isinstance(values, list) or len(values) != 3 * num_keypoints:
        found = len(values) if isinstance(values, list) else type(values).__name__
        raise ValueError(
            f'{where} has keypoints of length {found}; {num_keypoints} keypoints of x, y, visibility are '
            f'{3 * num_keypoints} numbers'
        )
    if annotation.get('keypoints') or annotation.get('num_keypoints'):
        _check_values(values, annotation, where)
    keypoints = np.array(values, np.float64).reshape(-1, 3)
    if not any(values):
        return keypoints, Counter({NO_KEYPOINTS: 1} if not annotation.get('iscrowd') else {})
    return _counted(keypoints, annotation, image_wh)


def _check_values(values: list, annotation: dict[str, Any], where: str) -> None:
    # In plain Python, which takes a tenth of numpy's time for so few numbers. NaN and infinity stay in a sum.
    try:
        finite = math.isfinite(sum(values))
    except (TypeError, OverflowError):
        finite = False
    if not finite:
        index = next(i for i, v in enumerate(values) if type(v) not in (int, float) or not math.isfinite(v))
        triplet = values[index - index % 3 : index - index % 3 + 3]
        raise ValueError(f'{where} has keypoint {index // 3} {triplet}; its three numbers must be finite')
    if not {0, 1, 2}.issuperset(values[2::3]):
        index = next(i for i, v in enumerate(values[2::3]) if v not in (0, 1, 2))
        raise ValueError(
            f'{where} has keypoint {index} {values[3 * index : 3 * index + 3]}; its visibility must be 0 (not '
            'labelled), 1 (hidden) or 2 (visible)'
        )
    labelled, said = sum(v > 0 for v in values[2::3]), annotation.get('num_keypoints')
    if said is not None and said != labelled:
        raise ValueError(f'{where} has num_keypoints {said!r}, but {labelled} keypoints of visibility 1 or 2')


def _counted(
    keypoints: np.ndarray, annotation: dict[str, Any], image_wh: tuple[int, int]
) -> tuple[np.ndarray, Counter]:
    labelled = keypoints[:, 2] > 0
    x, y, w, h = annotation['bbox']
    off_image = labelled & ~_inside(keypoints, (0, 0, *image_wh))
    off_box = labelled & ~off_image & ~_inside(keypoints, (x, y, x + w, y + h))
    keypoints[off_image | ~labelled] = 0
    counts = Counter({OFF_IMAGE: int(off_image.sum()), OFF_BOX: int(off_box.sum())})
    counts[NO_KEYPOINTS] = int(not keypoints[:, 2].any() and not annotation.get('iscrowd'))
    return keypoints, +counts


def _inside(points: np.ndarray, xyxy: tuple[float, float, float, float]) -> np.ndarray:
    x1, y1, x2, y2 = xyxy
    return (
        (points[:, 0] >= x1 - TOLERANCE_PX)
        & (points[:, 1] >= y1 - TOLERANCE_PX)
        & (points[:, 0] <= x2 + TOLERANCE_PX)
        & (points[:, 1] <= y2 + TOLERANCE_PX)
    )
