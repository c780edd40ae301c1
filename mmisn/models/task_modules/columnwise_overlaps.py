"""IoU of many boxes with many, coordinate by coordinate: mmdet's numbers in a fraction of its time on a CPU."""

import torch
from mmdet.models.task_modules.assigners import BboxOverlaps2D
from mmdet.registry import TASK_UTILS
from mmdet.structures.bbox import get_box_tensor
from torch import Tensor

MODES = ('iou', 'iof')


def box_overlaps(boxes1: Tensor, boxes2: Tensor, mode: str = 'iou', eps: float = 1e-6) -> Tensor:
    """Overlap of each of M boxes with each of N: mmdet's ``bbox_overlaps``, to the bit.

    mmdet's keeps x and y in a last dimension of two, (M, N, 2), over which a CPU does not vectorise. Here each
    coordinate is an (M, N) matrix of its own, of which three are held at a time.

    Args:
        boxes1: (M, 4) xyxy, of a floating type.
        boxes2: (N, 4) xyxy, of the same type.
        mode: ``iou``, the intersection over the union, or ``iof``, over the area of the box of ``boxes1``.
        eps: Smallest divisor, in square pixels.

    Returns:
        (M, N) overlaps.

    Raises:
        ValueError: If the mode is unknown.
    """
    if mode not in MODES:
        raise ValueError(f'mode must be one of {MODES}, got {mode!r}')
    # The longer ones along the last dimension, which the loop runs along.
    if len(boxes1) > len(boxes2):
        return _overlaps(boxes2, boxes1, 'union' if mode == 'iou' else 'columns', eps).t()
    return _overlaps(boxes1, boxes2, 'union' if mode == 'iou' else 'rows', eps)


def _overlaps(rows: Tensor, columns: Tensor, divisor: str, eps: float) -> Tensor:
    left1, top1, right1, bottom1 = rows.t()[:, :, None]
    left2, top2, right2, bottom2 = columns.t().contiguous()
    width = torch.minimum(right1, right2).sub_(torch.maximum(left1, left2)).clamp_(min=0)
    height = torch.minimum(bottom1, bottom2).sub_(torch.maximum(top1, top2)).clamp_(min=0)
    intersection = width.mul_(height)
    area1, area2 = (right1 - left1) * (bottom1 - top1), (right2 - left2) * (bottom2 - top2)
    if divisor == 'union':
        return intersection.div_((area1 + area2).sub_(intersection).clamp_(min=eps))
    return intersection.div_((area1 if divisor == 'rows' else area2).clamp(min=eps))


@TASK_UTILS.register_module()
class ColumnwiseBboxOverlaps2D(BboxOverlaps2D):
    """``BboxOverlaps2D`` that computes what an assigner asks of it by ``box_overlaps``.

    ``iou`` and ``iof`` of float32 boxes that take no gradient; all else (aligned pairs, ``giou``, half precision) is
    the parent's.

    Args:
        scale: As in ``BboxOverlaps2D``.
        dtype: As in ``BboxOverlaps2D``.
    """

    def __call__(self, bboxes1: Tensor, bboxes2: Tensor, mode: str = 'iou', is_aligned: bool = False) -> Tensor:
        """Overlaps, (M, N), of (M, 4) xyxy and (N, 4) xyxy; see ``BboxOverlaps2D``."""
        pair = get_box_tensor(bboxes1), get_box_tensor(bboxes2)
        if is_aligned or mode not in MODES or self.dtype is not None or not all(map(_is_plain, pair)):
            return super().__call__(*pair, mode=mode, is_aligned=is_aligned)
        return box_overlaps(*pair, mode=mode)


def _is_plain(boxes: Tensor) -> bool:
    return boxes.dim() == 2 and boxes.shape[1] == 4 and boxes.dtype == torch.float32 and not boxes.requires_grad
