"""Cut the pixels of a chip: crop first, resample after, so that a chip at factor 4 never needs the 4x image."""

import cv2
import numpy as np

from .chip import Chip

INTERPOLATIONS = dict(
    nearest=cv2.INTER_NEAREST, bilinear=cv2.INTER_LINEAR, bicubic=cv2.INTER_CUBIC, area=cv2.INTER_AREA
)


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
    x1, y1, x2, y2 = chip.xyxy
    if x1 < 0 or y1 < 0 or x2 > image.shape[1] or y2 > image.shape[0]:
        raise ValueError(f'chip {chip.xyxy} reaches beyond the image of {image.shape[1]}x{image.shape[0]} px')
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
    """Cut (N, H, W) bitmap masks of the original image: (N, h, w), nearest pixel."""
    if len(masks) == 0:
        return np.zeros((0, chip.size_wh[1], chip.size_wh[0]), masks.dtype)
    return np.stack([crop_resample(m.astype(np.uint8), chip, 'nearest') for m in masks]).astype(masks.dtype)


def masks_to_image(masks: np.ndarray, chip: Chip, image_wh: tuple[int, int]) -> np.ndarray:
    """Paste (N, h, w) bitmap masks of a view into the original image: (N, H, W), zero outside the chip."""
    x1, y1, x2, y2 = chip.xyxy
    pasted = np.zeros((len(masks), image_wh[1], image_wh[0]), masks.dtype)
    for canvas, mask in zip(pasted, masks):
        mask = mask[:, ::-1] if chip.flip else mask
        resized = cv2.resize(np.ascontiguousarray(mask.astype(np.uint8)), chip.wh, interpolation=cv2.INTER_NEAREST)
        canvas[y1:y2, x1:x2] = resized
    return pasted
