"""Average of the keypoints that several views see of one object.

Shape shorthand: M merged detections, n detections of a view, K keypoints.
"""

from collections.abc import Sequence

import torch
from mmdet.structures.bbox import bbox_overlaps
from mmengine.structures import InstanceData
from torch import Tensor

from .mask_average import SAME_OBJECT_IOU


def average_keypoints_of_views(
    merged: InstanceData, views: Sequence[InstanceData], view_weights: Sequence[float]
) -> Tensor:
    """Average the keypoints of each merged box over the views that report its object.

    Each view but the box's own takes part with one detection: of those of the same class whose IoU with the box is at
    least ``SAME_OBJECT_IOU`` the one with the highest score. A keypoint's weight is its own score, so that a view that
    does not see it says little of it (where all scores are 0, or there are none, all count alike), times the weight of
    the view.

    Args:
        merged: ``bboxes`` (M, 4), ``labels``, ``view_ids``, ``keypoints`` (M, K, 2) and optionally ``keypoint_scores``
            (M, K), in pixels of the image. Keypoints of negative score (of classes that have none) stay as they are.
        views: What each view reports, likewise, with ``scores``; they need not come in the order of ``view_ids``, of
            which all detections of a view have the same.
        view_weights: By ``view_ids``; above 0. Errors of a pixel or a bin are larger in original pixels the smaller a
            view is: the inverse of their variance is the product of the view's factors.

    Returns:
        (M, K, 2) keypoints.
    """
    of_views = merged.keypoints.new_tensor(view_weights)
    weights = _weights(merged) * of_views[merged.view_ids, None]
    total, weight = merged.keypoints * weights[..., None], weights.clone()
    for view in views:
        if len(view) == 0:
            continue
        rows = torch.nonzero(merged.view_ids != view.view_ids[0]).squeeze(1)
        same = bbox_overlaps(merged.bboxes[rows], view.bboxes) >= SAME_OBJECT_IOU
        same &= merged.labels[rows][:, None] == view.labels
        best = torch.where(same, view.scores, -1.0).argmax(dim=1)
        found = same.any(dim=1)
        rows, best = rows[found], best[found]
        of_view = _weights(view)[best] * of_views[view.view_ids[0]]
        total[rows] += view.keypoints[best] * of_view[..., None]
        weight[rows] += of_view
    averaged = total / weight[..., None]
    if 'keypoint_scores' not in merged:
        return averaged
    return torch.where((merged.keypoint_scores >= 0)[..., None], averaged, merged.keypoints)


def _weights(detections: InstanceData) -> Tensor:
    """(N, K) weights of keypoints, above 0."""
    if 'keypoint_scores' not in detections:
        return torch.ones_like(detections.keypoints[..., 0])
    return detections.keypoint_scores.clamp(min=1e-6)
