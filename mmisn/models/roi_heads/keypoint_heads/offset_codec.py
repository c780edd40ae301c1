"""Keypoints as vicinity maps with offsets, as in G-RMI (Papandreou et al. 2017, section 2.2) and ISN (section 4.3.2).

Per keypoint there are three maps: whether a cell is within a radius of the keypoint, and the vector from the cell's
centre to the keypoint. Shape shorthand: N RoIs, K keypoints, h and w rows and columns of the map. Bins are explained in
``keypoint_bins``.
"""

import math

import torch
from torch import Tensor

from .keypoint_bins import bins_to_keypoints, cell_centres, keypoints_to_bins, visible_inside

# Any point of the map is this close to a cell's centre, in bins: with a smaller radius a keypoint might have no cell.
SMALLEST_RADIUS = math.sqrt(0.5)
# Votes up to this far outside the RoI count, in bins: a keypoint on its border must not lose half of its votes.
_MARGIN = 1


def encode_offsets(
    keypoints: Tensor, visible: Tensor, rois: Tensor, map_size_hw: tuple[int, int], radius: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Targets of the vicinity and offset maps.

    Args:
        keypoints: (N, K, 2) x, y in view pixels.
        visible: (N, K) COCO visibility.
        rois: (N, 4) xyxy in view pixels.
        map_size_hw: Rows and columns of the map.
        radius: Radius of the vicinity in bins, border included.

    Returns:
        vicinity: (N, K, h, w) float32, 1 in the cells whose centre is within ``radius`` of the keypoint, else 0.
        offsets: (N, K, 2, h, w) float32 vectors x, y from each cell's centre to the keypoint, in bins; 0 outside the
            vicinity.
        valid: (N, K) bool: labelled and in the RoI. The maps of the others are 0 and mean nothing.
    """
    valid = visible_inside(keypoints, visible, rois)
    bins = keypoints_to_bins(keypoints, rois, map_size_hw)
    vectors = bins[:, :, None, None] - cell_centres(map_size_hw, bins.device)
    near = (vectors.square().sum(dim=-1) <= radius**2) & valid[:, :, None, None]
    offsets = torch.where(near[..., None], vectors, torch.zeros_like(vectors))
    return near.float(), offsets.permute(0, 1, 4, 2, 3), valid


def decode_peak(vicinity: Tensor, offsets: Tensor, rois: Tensor) -> tuple[Tensor, Tensor]:
    """Each keypoint at the best cell of its vicinity map plus that cell's offset (ISN section 4.3.2).

    Args:
        vicinity: (N, K, h, w) scores of the cells.
        offsets: (N, K, 2, h, w) vectors x, y in bins.
        rois: (N, 4) xyxy in view pixels.

    Returns:
        keypoints: (N, K, 2) float32 x, y in view pixels. An offset may lead out of the RoI.
        scores: (N, K) float32 score of the best cell, clipped to [0, 1].
    """
    map_size_hw = tuple(vicinity.shape[-2:])
    scores, cells = vicinity.float().flatten(2).max(dim=-1)
    centres = cell_centres(map_size_hw, vicinity.device).flatten(0, 1)[cells]
    index = cells[:, :, None, None].expand(-1, -1, 2, 1)
    best = offsets.float().flatten(3).gather(-1, index)[..., 0]
    return bins_to_keypoints(centres + best, rois, map_size_hw), scores.clamp(0, 1)


def decode_hough(
    vicinity: Tensor, offsets: Tensor, rois: Tensor, radius: float, cells_per_bin: int = 1
) -> tuple[Tensor, Tensor]:
    """Each keypoint where most votes fall: Hough voting, equation 1 of G-RMI.

    Every cell votes with its score for its centre plus its offset. A vote is spread over the four nearest cells of an
    accumulator with a bilinear kernel. The keypoint is the centre of mass of the 3x3 cells around the accumulator's
    peak, which gives votes that agree exactly back exactly.

    Args:
        vicinity: (N, K, h, w) scores of the cells; negative ones do not vote.
        offsets: (N, K, 2, h, w) vectors x, y in bins.
        rois: (N, 4) xyxy in view pixels.
        radius: Radius of the vicinity in bins, for the score.
        cells_per_bin: Cells of the accumulator per bin and axis.

    Returns:
        keypoints: (N, K, 2) float32 x, y in view pixels, at most a bin outside the RoI.
        scores: (N, K) float32: votes in those 3x3 cells, over the cells of the map within ``radius`` of the keypoint
            (G-RMI divides by pi times the radius squared, which is too many near the border). Clipped to [0, 1].
    """
    map_size_hw = tuple(vicinity.shape[-2:])
    centres = cell_centres(map_size_hw, vicinity.device)
    targets = (centres + offsets.float().permute(0, 1, 3, 4, 2)).flatten(2, 3)
    weights = vicinity.float().clamp(min=0).flatten(2)
    size_hw = tuple((side + 2 * _MARGIN) * cells_per_bin for side in map_size_hw)
    # Position in the accumulator, in units of its cells, whole at their centres.
    votes = _accumulate((targets + _MARGIN) * cells_per_bin - 0.5, weights, size_hw)
    positions, mass = _peaks(votes)
    bins = (positions + 0.5) / cells_per_bin - _MARGIN
    # Nothing voted: the middle of the RoI, with score 0.
    middle = bins.new_tensor([map_size_hw[1] / 2, map_size_hw[0] / 2])
    bins = torch.where((mass > 0)[..., None], bins, middle)
    near = (bins[:, :, None, None] - centres).square().sum(dim=-1) <= radius**2
    scores = mass / near.sum(dim=(-1, -2)).clamp(min=1)
    return bins_to_keypoints(bins, rois, map_size_hw), scores.clamp(0, 1)


def _accumulate(positions: Tensor, weights: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Spread (N, K, V) weighted votes at (N, K, V, 2) positions over (N, K, height, width) with a bilinear kernel."""
    height, width = size_hw
    votes = weights.new_zeros(*weights.shape[:2], height * width)
    # Far positions are clipped to just outside, so that they stay within the integers.
    positions = positions.clamp(min=-2, max=max(size_hw) + 1)
    first = positions.floor()
    fraction = positions - first
    for right in (0, 1):
        for below in (0, 1):
            x, y = first[..., 0] + right, first[..., 1] + below
            share_x = fraction[..., 0] if right else 1 - fraction[..., 0]
            share_y = fraction[..., 1] if below else 1 - fraction[..., 1]
            inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
            cells = (y * width + x).long()
            votes.scatter_add_(
                -1,
                torch.where(inside, cells, torch.zeros_like(cells)),
                torch.where(inside, weights * share_x * share_y, torch.zeros_like(weights)),
            )
    return votes.view(*votes.shape[:2], height, width)


def _peaks(votes: Tensor) -> tuple[Tensor, Tensor]:
    """Centre of mass (N, K, 2; x, y in cells) and mass (N, K) of the 3x3 cells around the best of (N, K, H, W)."""
    height, width = votes.shape[-2:]
    flat = votes.flatten(2)
    best = flat.argmax(dim=-1)
    around = torch.arange(-1, 2, device=votes.device)
    x = (best % width)[..., None] + around.repeat(3)
    y = (best // width)[..., None] + around.repeat_interleave(3)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    cells = torch.where(inside, y * width + x, torch.zeros_like(x))
    shares = torch.where(inside, flat.gather(-1, cells), torch.zeros_like(flat[..., :1]))
    mass = shares.sum(dim=-1)
    positions = (torch.stack([x, y], dim=-1) * shares[..., None]).sum(dim=-2) / mass.clamp(min=1e-12)[..., None]
    return positions, mass
