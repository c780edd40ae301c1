"""Batches of pictures of many sizes: what is of one size goes through a net together.

Shape shorthand: H and W of a picture, C channels.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from mmisn.chips.rescale import fit_canvas

# Pixels of a batch. More make no CPU faster: the activations of 32 channels then no longer fit its caches.
MAX_PIXELS = 100_000


def check_pictures(images: Sequence[np.ndarray], channels: int) -> list[np.ndarray]:
    """Bring pictures to a number of channels.

    Args:
        images: (H, W), (H, W, 1) or (H, W, 3) uint8 arrays.
        channels: 1 or 3.

    Returns:
        (H, W, C) uint8 arrays; grey is the mean of the channels, and colour is grey three times.

    Raises:
        ValueError: If a picture is of another form.
    """
    return [_with_channels(np.asarray(image), channels) for image in images]


def _with_channels(image: np.ndarray, channels: int) -> np.ndarray:
    given = image.shape[2] if image.ndim == 3 else 1
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or given not in (1, 3) or 0 in image.shape:
        raise ValueError(
            f'a picture is a (height, width) or (height, width, 3) array of uint8, got {image.dtype} of shape '
            f'{image.shape}'
        )
    image = image.reshape(*image.shape[:2], given)
    if given == channels:
        return image
    if channels == 3:
        return image.repeat(3, axis=2)
    return np.rint(image.mean(axis=2, keepdims=True)).astype(np.uint8)


def picture_batches(pictures: Sequence[np.ndarray], canvas: int) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Batches of equal size, at most ``MAX_PIXELS`` each.

    Args:
        pictures: (H, W, C) uint8 arrays.
        canvas: Side in pixels that smaller pictures are padded to; see ``fit_canvas``.

    Yields:
        Numbers of the pictures, and these as a (N, C, h, w) uint8 tensor.
    """
    by_size: dict[tuple[int, int], list[int]] = {}
    for number, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        by_size.setdefault((max(height, canvas), max(width, canvas)), []).append(number)
    for (height, width), numbers in by_size.items():
        length = max(1, MAX_PIXELS // (height * width))
        for start in range(0, len(numbers), length):
            chosen = numbers[start : start + length]
            padded = [_padded(pictures[number], height, width) for number in chosen]
            yield chosen, torch.from_numpy(np.stack(padded)).permute(0, 3, 1, 2).contiguous()


def _padded(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    if picture.shape[:2] == (height, width):
        return picture
    if height == width:
        return fit_canvas(picture, height)
    spare_h, spare_w = height - picture.shape[0], width - picture.shape[1]
    return np.pad(picture, ((spare_h // 2, spare_h - spare_h // 2), (spare_w // 2, spare_w - spare_w // 2), (0, 0)))
