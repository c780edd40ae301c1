"""Ignored objects that really are ignored."""

from typing import Any

from mmdet.models.task_modules.assigners import AssignResult, MaxIoUAssigner
from mmdet.registry import TASK_UTILS
from mmengine.structures import InstanceData
from torch import Tensor

OVERLAPS = ('iou', 'iof')


@TASK_UTILS.register_module()
class ScaleRangeAssigner(MaxIoUAssigner):
    """``MaxIoUAssigner`` for images with out-of-range objects (ISN section 3.3.1; SNIPER).

    Priors are first assigned to the valid objects, as if no object were ignored. Then, among the priors that are not
    positive, those that overlap an ignored object become ignored: they are neither positive nor background. The same
    holds for an image without any valid object. The range itself is judged where the objects are filtered; this class
    holds no scales.

    Two things differ from ``ignore_iof_thr`` of the parent, which therefore has to stay off: there, a valid object on
    an ignored one gets no prior at all, and without valid objects everything becomes background. One thing differs from
    SNIPER: there, ignored objects take the positives away too.

    Args:
        pos_iou_thr: As in ``MaxIoUAssigner``.
        neg_iou_thr: As in ``MaxIoUAssigner``.
        ignore_overlap: ``iou`` is the IoU of prior and ignored object (SNIP, SNIPER): priors of about its size are
            ignored, much smaller ones on it are background. ``iof`` is the intersection over the prior's area: all
            priors on it are ignored, also when the object is a large region such as a crowd.
        ignore_thr: A prior is ignored when this overlap with any ignored object is strictly greater, as in SNIP and
            SNIPER. In [0, 1).
        **kwargs: Further arguments of ``MaxIoUAssigner``. ``ignore_iof_thr`` may only be -1 (off), so that configs that
            inherit it from a base config can be used. ``iou_calculator`` is a ``ColumnwiseBboxOverlaps2D`` if it is not
            named: mmdet's numbers, sooner.

    Raises:
        ValueError: If an option is unknown, ``ignore_thr`` is outside [0, 1), or the parent's own way to ignore is
            switched on.
    """

    def __init__(
        self,
        pos_iou_thr: float,
        neg_iou_thr: float | tuple[float, float],
        *,
        ignore_overlap: str = 'iou',
        ignore_thr: float = 0.3,
        **kwargs: Any,
    ) -> None:
        if ignore_overlap not in OVERLAPS:
            raise ValueError(f'ignore_overlap must be one of {OVERLAPS}, got {ignore_overlap!r}')
        if not 0 <= ignore_thr < 1:
            raise ValueError(f'ignore_thr must be in [0, 1), got {ignore_thr!r}')
        if kwargs.pop('ignore_iof_thr', -1) != -1:
            raise ValueError(
                "ignore_iof_thr must stay off (-1): use ignore_overlap='iof' and ignore_thr, which let valid objects "
                'on an ignored one keep their priors'
            )
        if 'ignore_wrt_candidates' in kwargs:
            raise ValueError('ignore_wrt_candidates has no effect here: choose ignore_overlap and ignore_thr')
        kwargs.setdefault('iou_calculator', dict(type='ColumnwiseBboxOverlaps2D'))
        super().__init__(pos_iou_thr, neg_iou_thr, **kwargs)
        self.ignore_overlap = ignore_overlap
        self.ignore_thr = ignore_thr

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign priors to objects.

        Args:
            pred_instances: With ``priors``, (N, 4) xyxy in view pixels.
            gt_instances: Valid objects: ``bboxes`` (K, 4) and ``labels`` (K,).
            gt_instances_ignore: Ignored objects: ``bboxes`` (M, 4).

        Returns:
            ``gt_inds`` is -1 for ignored priors, 0 for background, 1 + index of the object for positives. ``labels``
            is -1 for all but positives. ``max_overlaps`` stays the largest IoU with a valid object, also for ignored
            priors.
        """
        result = super().assign(pred_instances, gt_instances, None, **kwargs)
        if gt_instances_ignore is None or len(gt_instances_ignore) == 0 or len(pred_instances.priors) == 0:
            return result
        overlaps_ignored = self._overlaps_ignored(pred_instances.priors, gt_instances_ignore.bboxes)
        ignored = (result.gt_inds <= 0) & (overlaps_ignored > self.ignore_thr)
        # The labels of priors that are not positive are -1 already.
        result.gt_inds[ignored] = -1
        return result

    def _overlaps_ignored(self, priors: Tensor, boxes_ignored: Tensor) -> Tensor:
        """Largest overlap of each of N priors with any of M > 0 ignored boxes, (N,)."""
        device = priors.device
        if 0 < self.gpu_assign_thr < len(boxes_ignored):
            priors, boxes_ignored = priors.cpu(), boxes_ignored.cpu()
        # The intersection is divided by the area of the first argument's boxes when the mode is 'iof'.
        overlaps = self.iou_calculator(priors, boxes_ignored, mode=self.ignore_overlap)
        return overlaps.max(dim=1).values.to(device)
