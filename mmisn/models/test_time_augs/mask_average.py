"""Average of the masks that several views have of one object.

Shape shorthand: M merged detections, n masks of a view, m side of a mask.
"""

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor
from torch.nn import functional as F

from mmisn.structures import Chip, ViewFilter

from .mask_store import StoredMasks

# Two boxes of one class that overlap so much show the same object, as in mmdet's NMS of a box head.
SAME_OBJECT_IOU = 0.5


def average_masks_of_views(
    probs: Tensor,
    merged: InstanceData,
    stored: Sequence[StoredMasks],
    chips: Sequence[Chip],
    filters: Sequence[ViewFilter],
    image_wh: tuple[int, int],
) -> Tensor:
    """Average the mask of each merged box over the views that may report the box.

    Of each view but the box's own whose filter (range, edge, classes) keeps the box, the mask whose box overlaps it
    best takes part, if the class is the same and the IoU at least ``SAME_OBJECT_IOU``: features of the views are gone,
    so no mask can be predicted for the box itself. A mask says nothing of places outside of its own box; these keep
    the average of the others. All views count alike.

    Args:
        probs: (M, m, m) probabilities of the views that found the boxes.
        merged: ``bboxes`` in pixels of the image, ``labels`` and ``view_ids``.
        stored: Per view its masks.
        chips: Of the views.
        filters: One per view.
        image_wh: Width and height of the original image.

    Returns:
        (M, m, m) probabilities.
    """
    total, count = probs.clone(), torch.ones_like(probs)
    for view, masks in enumerate(stored):
        if len(masks.labels) == 0:
            continue
        holds = filters[view].keep(merged.bboxes, merged.labels, chips[view], image_wh)
        rows = torch.nonzero(holds & (merged.view_ids != view)).squeeze(1)
        overlaps = bbox_overlaps(merged.bboxes[rows], masks.boxes_xyxy)
        overlaps = overlaps * (merged.labels[rows][:, None] == masks.labels)
        iou, best = overlaps.max(dim=1)
        same = iou >= SAME_OBJECT_IOU
        rows, best = rows[same], best[same]
        seen, inside = resample_masks(masks.probs[best], masks.boxes_xyxy[best], merged.bboxes[rows])
        total[rows] += seen * inside
        count[rows] += inside
    return total / count


def resample_masks(probs: Tensor, from_xyxy: Tensor, to_xyxy: Tensor) -> tuple[Tensor, Tensor]:
    """Read masks of boxes at the places of the bins of other boxes.

    Args:
        probs: (n, m, m) masks, each on a grid that its box is divided into.
        from_xyxy: (n, 4) boxes of the masks.
        to_xyxy: (n, 4) boxes that are to be divided likewise, in the same frame.

    Returns:
        (n, m, m) bilinear samples at the bins' centres, and which of these lie in the box that the mask is of (n, m,
        m), as numbers 0 and 1.
    """
    centres = (torch.arange(probs.shape[-1], device=probs.device, dtype=to_xyxy.dtype) + 0.5) / probs.shape[-1]
    start, size = to_xyxy[:, None, :2], (to_xyxy[:, 2:] - to_xyxy[:, :2])[:, None]
    places = start + centres[None, :, None] * size
    # grid_sample's frame: -1 and 1 are the borders of the mask.
    from_size = (from_xyxy[:, 2:] - from_xyxy[:, :2])[:, None]
    x, y = ((places - from_xyxy[:, None, :2]) / from_size * 2 - 1).unbind(dim=-1)
    grid = torch.stack(torch.broadcast_tensors(x[:, None, :], y[:, :, None]), dim=-1)
    inside = (grid.abs() <= 1).all(dim=-1).to(probs.dtype)
    seen = F.grid_sample(probs[:, None], grid.to(probs.dtype), padding_mode='border', align_corners=False)
    return seen[:, 0], inside
