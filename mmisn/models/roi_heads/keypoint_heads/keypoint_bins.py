"""Where a keypoint lies in the grid of its RoI.

A map of (h, w) cells covers the RoI exactly: in the unit "bin", the cell in row r and column c spans [c, c + 1] x
[r, r + 1], and its centre, at (c + 0.5, r + 0.5), is where RoIAlign samples the features of the cell. Bins are as wide
as the RoI divided by w and as high as it divided by h.

Shape shorthand: N RoIs, K keypoints, h and w rows and columns of the map.
"""

import torch
from torch import Tensor


def keypoints_to_bins(keypoints: Tensor, rois: Tensor, map_size_hw: tuple[int, int]) -> Tensor:
    """Map keypoints from view pixels to bins of their RoI.

    Args:
        keypoints: (N, K, 2) x, y in view pixels.
        rois: (N, 4) xyxy in view pixels.
        map_size_hw: Rows and columns of the map.

    Returns:
        (N, K, 2) float32, x in [0, w] and y in [0, h] for keypoints in the RoI.
    """
    rois = rois.float()
    # A RoI without area has no bins; none of its keypoints counts as inside, so any finite number will do.
    sides = (rois[:, None, 2:] - rois[:, None, :2]).clamp(min=1e-6)
    return (keypoints.float() - rois[:, None, :2]) * (_size_wh(map_size_hw, rois) / sides)


def bins_to_keypoints(bins: Tensor, rois: Tensor, map_size_hw: tuple[int, int]) -> Tensor:
    """Map (N, K, 2) x, y in bins to view pixels; the inverse of ``keypoints_to_bins``, in float32."""
    rois = rois.float()
    sides = (rois[:, None, 2:] - rois[:, None, :2]).clamp(min=0)
    return bins.float() * (sides / _size_wh(map_size_hw, rois)) + rois[:, None, :2]


def visible_inside(keypoints: Tensor, visible: Tensor, rois: Tensor) -> Tensor:
    """Tell which keypoints are labelled (visibility above 0) and in their RoI, borders included.

    Args:
        keypoints: (N, K, 2) x, y in view pixels.
        visible: (N, K) COCO visibility: 0 not labelled, 1 labelled but hidden, 2 visible. Mask R-CNN trains on 1 and 2.
        rois: (N, 4) xyxy in view pixels. In a RoI without area there is nothing.

    Returns:
        (N, K) bool.
    """
    keypoints, rois = keypoints.float(), rois.float()[:, None]
    inside = ((keypoints >= rois[..., :2]) & (keypoints <= rois[..., 2:])).all(dim=-1)
    has_area = (rois[..., 2:] > rois[..., :2]).all(dim=-1)
    return inside & has_area & (visible > 0)


def cell_centres(map_size_hw: tuple[int, int], device: torch.device) -> Tensor:
    """Centres of the cells in bins, (h, w, 2), x first."""
    height, width = map_size_hw
    y, x = torch.meshgrid(
        torch.arange(height, device=device) + 0.5, torch.arange(width, device=device) + 0.5, indexing='ij'
    )
    return torch.stack([x, y], dim=-1)


def _size_wh(map_size_hw: tuple[int, int], reference: Tensor) -> Tensor:
    return reference.new_tensor([map_size_hw[1], map_size_hw[0]])
