"""Detections of about the same box share keypoints, which are costly: a view without NMS reports each object often."""

import torch
from mmcv.ops import batched_nms
from mmdet.structures.bbox import bbox_overlaps
from torch import Tensor


def representatives(
    boxes_xyxy: Tensor, scores: Tensor, labels: Tensor, share_iou: float | None
) -> tuple[Tensor, Tensor]:
    """Choose the detections to compute keypoints for, and which of them stands for each detection.

    They are what NMS per class would keep, so the best detection of an object always stands for itself.

    Args:
        boxes_xyxy: (M, 4).
        scores: (M,).
        labels: (M,).
        share_iou: A detection whose IoU with a better one of its class is greater takes over the keypoints of the
            chosen one that it overlaps most. ``None``: every detection stands for itself.

    Returns:
        chosen: (P,) int64, indices of detections, ascending.
        index: (M,) int64, for each detection the position in ``chosen`` of its representative.
    """
    everyone = torch.arange(len(boxes_xyxy), device=boxes_xyxy.device)
    if share_iou is None or len(everyone) == 0:
        return everyone, everyone
    nms_cfg = dict(type='nms', iou_threshold=share_iou)
    chosen = batched_nms(boxes_xyxy.float(), scores.float(), labels, nms_cfg)[1].sort().values
    overlaps = bbox_overlaps(boxes_xyxy.float(), boxes_xyxy[chosen].float())
    overlaps[labels[:, None] != labels[chosen]] = -1
    # Said explicitly, because a box without area overlaps nothing, not even itself.
    overlaps[chosen, everyone[: len(chosen)]] = 2
    return chosen, overlaps.argmax(dim=1)
