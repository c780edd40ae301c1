"""Filter the boxes of a dense head by scale before anything is cut by score."""

from typing import Any

import torch
from mmdet.structures.bbox import get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from mmisn.structures import ScaleRange


class ScaleRangeFilterMixin:
    """Keeps out-of-range boxes from crowding the others out of ``nms_pre`` and NMS (ISN section 3.3.1; SNIPER).

    MMDetection takes the ``nms_pre`` best priors of a level before it decodes them. This mixin decodes all of them
    first, takes those whose box is out of ``img_meta['scale_range']`` out of the ranking, and drops what is left of
    them before NMS. The range is ``(lower, upper)`` in view pixels and comes with each image; the head has no scales
    of its own.

    Judged is the box as the head would report it: clipped to the view (unless the head's coder has ``clip_border``
    off), before it is rescaled to the original image. The detections that a view filter sees later are the same boxes,
    so nothing kept here is out of range there.

    Put it before a head of the family of ``BaseDenseHead``: ``class MyHead(ScaleRangeFilterMixin, ATSSHead)``. A head
    whose ``bbox_pred`` is not what its ``bbox_coder`` decodes overrides ``decode_level``.

    Args:
        *args: Arguments of the head.
        filter_in_test: Whether to filter in testing too. In training boxes are always filtered.
        **kwargs: Arguments of the head.

    Raises:
        ValueError: If ``filter_in_test`` is no bool.
    """

    def __init__(self, *args: Any, filter_in_test: bool = True, **kwargs: Any) -> None:
        if not isinstance(filter_in_test, bool):
            raise ValueError(f'filter_in_test must be True or False, got {filter_in_test!r}')
        super().__init__(*args, **kwargs)
        self.filter_in_test = filter_in_test

    def decode_level(self, priors: Tensor, bbox_pred: Tensor, img_shape: tuple[int, int]) -> Tensor:
        """Decode all boxes of one level of one image.

        Args:
            priors: (H * W * A, 4) anchors or (H * W, 2) points.
            bbox_pred: (A * 4, H, W) deltas or distances.
            img_shape: Height and width of the view, to which boxes are clipped.

        Returns:
            (H * W * A, 4) boxes, xyxy in view pixels.
        """
        bbox_pred = bbox_pred.permute(1, 2, 0).reshape(-1, self.bbox_coder.encode_size)
        return get_box_tensor(self.bbox_coder.decode(priors, bbox_pred, max_shape=img_shape))

    def _scale_range(self, img_meta: dict) -> ScaleRange | None:
        """The range in view pixels by which this image's boxes are filtered; ``None`` for no filter."""
        if not self.training and not self.filter_in_test:
            return None
        if 'scale_range' not in img_meta:
            if not self.training:
                return None
            raise KeyError(
                f"{type(self).__name__} needs 'scale_range', (lower, upper) in view pixels, in the meta information of "
                'each training image: let the pipeline end with PackInstanceInputs, or put scale_range into meta_keys'
            )
        scale_range = ScaleRange.build(img_meta['scale_range'])
        if scale_range.frame != 'view':
            raise ValueError(f"'scale_range' of an image must be in view pixels, got {scale_range}")
        return None if scale_range.is_infinite else scale_range

    def _predict_by_feat_single(
        self,
        cls_score_list: list[Tensor],
        bbox_pred_list: list[Tensor],
        score_factor_list: list[Tensor | None],
        mlvl_priors: list[Tensor],
        img_meta: dict,
        *args: Any,
        **kwargs: Any,
    ) -> InstanceData:
        """Boxes of one image, those out of range ranked below all others; see ``BaseDenseHead``."""
        scale_range = self._scale_range(img_meta)
        if scale_range is not None:
            cls_score_list = [
                self._rank_last(cls_score, ~self._in_range(scale_range, priors, bbox_pred, img_meta))
                for cls_score, bbox_pred, priors in zip(cls_score_list, bbox_pred_list, mlvl_priors)
            ]
        return super()._predict_by_feat_single(
            cls_score_list, bbox_pred_list, score_factor_list, mlvl_priors, img_meta, *args, **kwargs
        )

    def _in_range(self, scale_range: ScaleRange, priors: Tensor, bbox_pred: Tensor, img_meta: dict) -> Tensor:
        boxes = self.decode_level(priors, bbox_pred, img_meta['img_shape'][:2])
        return scale_range.contains_boxes(boxes)

    def _rank_last(self, cls_score: Tensor, out_of_range: Tensor) -> Tensor:
        """Give the marked priors of one level, (H * W * A,), score 0 in every class.

        The level keeps its shape: MMDetection's RPN cannot take a level that only one prior is left of.
        """
        height, width = cls_score.shape[-2:]
        logits = cls_score.permute(1, 2, 0).reshape(len(out_of_range), -1)
        # The background column of a softmax stays finite.
        columns = torch.arange(logits.shape[1], device=logits.device) < self.num_classes
        logits = logits.masked_fill(out_of_range[:, None] & columns, float('-inf'))
        return logits.reshape(height, width, -1).permute(2, 0, 1)

    def _bbox_post_process(
        self,
        results: InstanceData,
        cfg: Any,
        rescale: bool = False,
        with_nms: bool = True,
        img_meta: dict | None = None,
    ) -> InstanceData:
        """Drop the boxes out of range that filled up ``nms_pre``, then rescale and do NMS; see ``BaseDenseHead``."""
        scale_range = self._scale_range(img_meta or {})
        if scale_range is not None:
            results = results[scale_range.contains_boxes(get_box_tensor(results.bboxes))]
        return super()._bbox_post_process(results, cfg, rescale=rescale, with_nms=with_nms, img_meta=img_meta)
