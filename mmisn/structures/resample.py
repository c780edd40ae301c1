"""Cut the pixels of a chip: crop first, resample after, so that a chip at factor 4 never needs the 4x image."""

import cv2
import numpy as np

from .chip import Chip

INTERPOLATIONS = dict(
    nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC, area=cv2.INTER_AREA
)

# Sums of float32 weights miss the half that they stand for by less.
_ROUNDING = 1e-4


def crop_resample(image: np.ndarray, chip: Chip, interpolation: str = 'bilinear') -> np.ndarray:
    """Cut ``chip`` from an image.

    Args:
        image: (H, W) or (H, W, C) array, the original image.
        chip: Lies inside the image.
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``area``.

    Returns:
        (h, w) or (h, w, C) contiguous array of the chip's size and the image's dtype.

    Raises:
        ValueError: If the chip reaches beyond the image.
    """
    _check_inside(image.shape[:2], chip)
    x1, y1, x2, y2 = chip.xyxy
    view = image[y1:y2, x1:x2]
    flip_first = chip.flip and _mirrors_exactly(chip, interpolation, image.dtype)
    if flip_first:
        view = _mirrored(view)
    if chip.size_wh != chip.wh:
        # cv2 reads rows of the image where they lie; a copy would cost more than it saves.
        view = cv2.resize(view, chip.size_wh, interpolation=INTERPOLATIONS[interpolation])
        view = view.reshape(view.shape[:2] + image.shape[2:])  # cv2 drops a channel axis of length 1
    if chip.flip and not flip_first:
        view = _mirrored(view)
    return np.ascontiguousarray(view)


def _mirrors_exactly(chip: Chip, interpolation: str, dtype: np.dtype) -> bool:
    """Whether mirroring before resampling gives the same pixels as after it, at a fraction of the cost.

    Enlarged 1, 2, 4, 8, ... times along x, the weights of two neighbouring pixels are whole 2048ths, the unit in which
    cv2 counts them for uint8, and mirror images of each other. Other weights are rounded, as are sums of floats.
    """
    factor, rest = divmod(chip.size_wh[0], chip.wh[0])
    whole_weights = rest == 0 and factor.bit_count() == 1
    return whole_weights and dtype == np.uint8 and interpolation in ('nearest', 'bilinear')


def _mirrored(view: np.ndarray) -> np.ndarray:
    # cv2.flip mirrors in a fiftieth of the time that copying a reversed numpy view takes.
    return cv2.flip(view, 1).reshape(view.shape)


def masks_to_view(masks: np.ndarray, chip: Chip) -> np.ndarray:
    """Cut bitmap masks of the original image.

    Along an axis that is made smaller, a pixel of the view belongs to the mask if at least half of it does; along one
    that is made larger, it takes the original pixel that holds its centre. cv2's (and so mmcv's) nearest pixel would be
    the one at the view pixel's top left corner: half a pixel off.

    Args:
        masks: (N, H, W) bool or integer array, anything but 0 is mask.
        chip: Lies inside the image.

    Returns:
        (N, h, w) array of the masks' dtype, 0 and 1.

    Raises:
        ValueError: If the chip reaches beyond the image.
    """
    _check_inside(masks.shape[1:], chip)
    x1, y1, x2, y2 = chip.xyxy
    views = [_mask_to_view(mask[y1:y2, x1:x2] != 0, chip) for mask in masks]
    return np.array(views, dtype=masks.dtype).reshape(-1, chip.size_wh[1], chip.size_wh[0])


def _mask_to_view(mask: np.ndarray, chip: Chip) -> np.ndarray:
    smaller_wh = min(chip.wh[0], chip.size_wh[0]), min(chip.wh[1], chip.size_wh[1])
    if smaller_wh != chip.wh:
        covered = cv2.resize(mask.astype(np.float32), smaller_wh, interpolation=cv2.INTER_AREA)
        mask = covered >= 0.5 - _ROUNDING
    view = mask.astype(np.uint8)
    if chip.size_wh != smaller_wh:
        view = cv2.resize(view, chip.size_wh, interpolation=cv2.INTER_NEAREST_EXACT)
    return view[:, ::-1] if chip.flip else view


def _check_inside(image_hw: tuple[int, int], chip: Chip) -> None:
    x1, y1, x2, y2 = chip.xyxy
    if x1 < 0 or y1 < 0 or x2 > image_hw[1] or y2 > image_hw[0]:
        raise ValueError(f'chip {chip.xyxy} reaches beyond the image of {image_hw[1]}x{image_hw[0]} px')
