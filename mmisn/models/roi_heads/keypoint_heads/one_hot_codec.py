"""Keypoints as one-hot maps of their RoI, as in Mask R-CNN (He et al. 2017, section 3 and 4.5).

Shape shorthand: N RoIs, K keypoints, h and w rows and columns of the map. Bins are explained in ``keypoint_bins``.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .keypoint_bins import bins_to_keypoints, keypoints_to_bins, visible_inside

REFINEMENTS = ('bicubic', 'quadratic', 'none')
# Rows and columns of a resized map at most. In a view at factor 4 a RoI may have many more pixels, but no keypoint is
# known to a 36th of a bin of the usual 56x56 map.
MAX_SIDE = 2048
# Of the resized maps of a RoI so many values, 16 MB, are in memory at a time; all 17 of a large RoI would take 300 MB.
MAX_VALUES = MAX_SIDE * MAX_SIDE


def encode_one_hot(
    keypoints: Tensor, visible: Tensor, rois: Tensor, map_size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """The cell that each keypoint falls into.

    A keypoint on the RoI's right or lower border belongs to the last cell. What is left of the position is its cell:
    half a bin of error per axis, 1/8 of a bin of the 14x14 features for the usual 56x56 map.

    Args:
        keypoints: (N, K, 2) x, y in view pixels.
        visible: (N, K) COCO visibility.
        rois: (N, 4) xyxy in view pixels.
        map_size_hw: Rows and columns of the map.

    Returns:
        cells: (N, K) int64, index into the flattened map; 0 where it does not count.
        valid: (N, K) bool: labelled and in the RoI.
    """
    height, width = map_size_hw
    valid = visible_inside(keypoints, visible, rois)
    bins = keypoints_to_bins(keypoints, rois, map_size_hw)
    # Selected before the cast: NaN and infinity have no integer.
    bins = torch.where(valid[..., None], bins, torch.zeros_like(bins)).floor().long()
    x, y = bins[..., 0].clamp(max=width - 1), bins[..., 1].clamp(max=height - 1)
    return y * width + x, valid


def decode_one_hot(logits: Tensor, rois: Tensor, refine: str = 'bicubic') -> tuple[Tensor, Tensor]:
    """The most probable position of each keypoint.

    Args:
        logits: (N, K, h, w) scores before the softmax over a map.
        rois: (N, 4) xyxy in view pixels.
        refine: Where in the best cell the keypoint lies. ``none``: at its centre. ``quadratic``: at the peak of the
            parabola through the logits of the cell and its two neighbours, per axis; exact for a Gaussian.
            ``bicubic``: as Mask R-CNN's code does it, at the best pixel of the map resized to the RoI's size in pixels
            (but never made smaller, which would cost small RoIs their precision, and no side larger than 2048).

    Returns:
        keypoints: (N, K, 2) float32 x, y in view pixels.
        scores: (N, K) float32, probability of the best cell, in [0, 1].

    Raises:
        ValueError: If ``refine`` is unknown.
    """
    if refine not in REFINEMENTS:
        raise ValueError(f'refine must be one of {REFINEMENTS}, got {refine!r}')
    logits = logits.float()
    height, width = logits.shape[-2:]
    probabilities, cells = logits.flatten(2).softmax(dim=-1).max(dim=-1)
    if refine == 'bicubic':
        bins = _bicubic_peaks(logits, rois)
    else:
        bins = torch.stack([cells % width, cells // width], dim=-1) + 0.5
        if refine == 'quadratic':
            bins = bins + _parabola_offsets(logits, cells)
    return bins_to_keypoints(bins, rois, (height, width)), probabilities


def _bicubic_peaks(logits: Tensor, rois: Tensor) -> Tensor:
    """Peaks of the maps resized to their RoIs, (N, K, 2) in bins of the map. One RoI at a time: sizes differ."""
    num_rois, num_keypoints, height, width = logits.shape
    bins = logits.new_zeros(num_rois, num_keypoints, 2)
    sides = (rois[:, 2:] - rois[:, :2]).float().tolist()
    for index, (roi_width, roi_height) in enumerate(sides):
        size = _resized_side(roi_height, height), _resized_side(roi_width, width)
        maps_at_once = max(1, MAX_VALUES // (size[0] * size[1]))
        for first in range(0, num_keypoints, maps_at_once):
            maps = slice(first, first + maps_at_once)
            resized = F.interpolate(logits[index, maps][None], size=size, mode='bicubic', align_corners=False)[0]
            best = resized.flatten(1).argmax(dim=-1)
            centres = torch.stack([best % size[1], best // size[1]], dim=-1) + 0.5
            bins[index, maps] = centres * centres.new_tensor([width / size[1], height / size[0]])
    return bins


def _resized_side(roi_side: float, cells: int) -> int:
    return max(min(math.ceil(roi_side), MAX_SIDE), cells)


def _parabola_offsets(logits: Tensor, cells: Tensor) -> Tensor:
    """Offset (N, K, 2) of the peak from the centre of the best cell, x and y each in [-0.5, 0.5]."""
    height, width = logits.shape[-2:]
    # Beyond the border there is nothing to compare with: an edge's parabola is flat, its offset 0.
    x, y = cells % width, cells // width
    flat = logits.flatten(2)

    def at(column: Tensor, row: Tensor) -> Tensor:
        return flat.gather(-1, (row * width + column)[..., None])[..., 0]

    centre = at(x, y)
    offsets = []
    for before, after, inner in (
        (at((x - 1).clamp(min=0), y), at((x + 1).clamp(max=width - 1), y), (x > 0) & (x < width - 1)),
        (at(x, (y - 1).clamp(min=0)), at(x, (y + 1).clamp(max=height - 1)), (y > 0) & (y < height - 1)),
    ):
        curvature = 2 * centre - before - after
        offset = (after - before) / (2 * curvature.clamp(min=1e-6))
        offsets.append(torch.where(inner & (curvature > 1e-6), offset, torch.zeros_like(offset)).clamp(-0.5, 0.5))
    return torch.stack(offsets, dim=-1)
