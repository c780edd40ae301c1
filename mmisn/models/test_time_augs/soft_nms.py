"""Soft-NMS within each class, on mmcv's operator but without its three surprises."""

import torch
from mmcv.ops import soft_nms
from torch import Tensor

# Without mmcv's decorator for renamed arguments, which inspects the signature at each of up to 80 calls per image.
_soft_nms_op = getattr(soft_nms, '__wrapped__', soft_nms)

# Boxes looked at first when only the best are wanted; four times as many each time that these do not suffice.
_FIRST_SWEEP = 1000

METHODS = ('gaussian', 'linear', 'naive')


def check_soft_nms_options(sigma: float, min_score: float, method: str, iou_threshold: float) -> None:
    """Raise ValueError if an option of ``soft_nms_per_class`` is out of its domain."""
    if not sigma > 0:
        raise ValueError(f'soft_nms: sigma must be > 0, got {sigma}')
    if not min_score >= 0:
        raise ValueError(f'soft_nms: min_score must be >= 0, got {min_score}')
    if not 0 <= iou_threshold <= 1:
        raise ValueError(f'soft_nms: iou_threshold must lie in [0, 1], got {iou_threshold}')
    if method not in METHODS:
        raise ValueError(f'soft_nms: method must be one of {METHODS}, got {method!r}')


def soft_nms_per_class(
    boxes_xyxy: Tensor,
    scores: Tensor,
    labels: Tensor,
    sigma: float = 0.5,
    min_score: float = 1e-3,
    method: str = 'gaussian',
    iou_threshold: float = 0.3,
    max_keep: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Soft-NMS (Bodla et al., ICCV 2017) among the boxes of each class.

    ``mmcv.ops.soft_nms`` does the work, class by class: ``batched_nms`` would sweep all classes together, which takes
    time quadratic in their sum. What the operator gets wrong is kept from it: a box below ``min_score`` would survive
    as the first of its class, and two boxes without area would turn each other's score into NaN.

    Args:
        boxes_xyxy: (N, 4) boxes in one frame.
        scores: (N,) scores.
        labels: (N,) classes.
        sigma: Width of the Gaussian; a box that overlaps a better one by IoU has its score multiplied by
            exp(-IoU^2 / sigma). 0.5 is the value of the Soft-NMS paper, which ISN cites without naming another; SNIPER
            uses 0.55.
        min_score: Boxes whose score is or falls below it are dropped.
        method: ``gaussian``; ``linear`` multiplies by 1 - IoU and ``naive`` by 0 where IoU >= ``iou_threshold``.
        iou_threshold: Not used by ``gaussian``.
        max_keep: Return only this many of the best. The result is the same as cutting the full one, but boxes that
            cannot matter are left out of the quadratic work.

    Returns:
        (M,) decayed scores in descending order, and (M,) indices of their boxes in the input.

    Raises:
        ValueError: If an option is out of its domain.
    """
    check_soft_nms_options(sigma, min_score, method, iou_threshold)
    # The operator runs on the CPU in float32 only; one copy here instead of one per class.
    boxes, raw, classes = (t.detach().cpu() for t in (boxes_xyxy.float(), scores.float(), labels))
    options = (iou_threshold, sigma, min_score, method)
    candidates = torch.nonzero(raw >= min_score).squeeze(1)
    best_first = candidates[raw[candidates].sort(descending=True, stable=True).indices]
    size = len(candidates) if max_keep is None else max(_FIRST_SWEEP, 4 * max_keep)
    while True:
        some = best_first[:size].sort().values
        final, rank = _sweep(boxes[some], raw[some], classes[some], *options)
        # Scores only fall, and a box is lowered only by boxes that end above it. So boxes whose score, even before any
        # decay, is below the last one kept change nothing among the kept.
        if size >= len(candidates) or (len(final) >= max_keep and final[max_keep - 1] > raw[best_first[size]]):
            break
        size *= 4
    return final[:max_keep].to(scores.device, scores.dtype), some[rank[:max_keep]].to(scores.device)


def _sweep(boxes: Tensor, scores: Tensor, labels: Tensor, *options) -> tuple[Tensor, Tensor]:
    """Soft-NMS of CPU float32 boxes, all scores sufficing: decayed scores, descending, and indices of their boxes."""
    alone = _without_area(boxes)
    order = torch.nonzero(~alone).squeeze(1)
    order = order[labels[order].sort(stable=True).indices]
    sizes = torch.unique_consecutive(labels[order], return_counts=True)[1].tolist()
    kept, kept_scores = [torch.nonzero(alone).squeeze(1)], [scores[alone]]
    for indices, *of_class in zip(order.split(sizes), boxes[order].split(sizes), scores[order].split(sizes)):
        dets, survivors = _soft_nms_op(*of_class, *options)
        kept.append(indices[survivors])
        kept_scores.append(dets[:, 4])
    final, rank = torch.cat(kept_scores).sort(descending=True, stable=True)
    return final, torch.cat(kept)[rank]


def _without_area(boxes_xyxy: Tensor) -> Tensor:
    """Tell which (N, 4) boxes overlap nothing: no width, no height, or an area too small for float32."""
    wh = boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]
    return ~((wh > 0).all(dim=1) & (wh.prod(dim=1) > 0))
