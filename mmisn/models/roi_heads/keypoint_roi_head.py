from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.models.task_modules.samplers import SamplingResult
from mmdet.models.utils import unpack_gt_instances
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import bbox2roi, get_box_tensor
from mmengine.structures import InstanceData
from torch import Tensor

from .keypoint_classes import NO_KEYPOINT_SCORE, keypoint_labels
from .keypoint_heads.keypoint_bins import visible_inside
from .keypoint_sharing import representatives

# RoIs that the keypoint head sees at once in testing; bounds the memory for views without NMS.
_ROIS_AT_ONCE = 256


@MODELS.register_module()
class KeypointRoIHead(StandardRoIHead):
    """``StandardRoIHead`` with keypoints beside boxes and masks (Mask R-CNN section 4.5, ISN section 4.3.2).

    In training the keypoint head sees the positive proposals of the box head of which at least one labelled keypoint
    is in the proposal; ignored objects give no positives and so no keypoint loss. In testing it sees the final boxes.
    Boxes and masks are computed as without it. In both, only those of the classes that have keypoints are looked at.

    Training reads ``gt_instances.keypoints``, (N, K, 2) x, y in view pixels, and ``gt_instances.keypoints_visible``,
    (N, K) COCO visibility. Predictions are ``pred_instances.keypoints``, (M, K, 2) in the frame of the boxes, and
    ``pred_instances.keypoint_scores``, (M, K) in [0, 1]. Detections of classes without keypoints have the score -1 and
    the centre of their box K times; ``ScaleRangeCocoMetric`` and ``KeypointVisualizer`` pass over these.

    Args:
        keypoint_roi_extractor: Extractor of the RoI features; ``output_size`` of its RoIAlign is (h, w).
        keypoint_head: ``OffsetKeypointHead``, ``KeypointRCNNHead`` or another ``BaseKeypointHead``.
        share_iou: In testing, detections that overlap a better one of their class by a greater IoU share the keypoints
            of one of these, see ``representatives``. After NMS at a lower threshold that changes nothing; before it, as
            in the views of a merge, the keypoint head sees an object a few times and not hundreds of times. ``None``
            for keypoints of each detection's own.
        keypoint_classes: Names or indices of the classes that have keypoints; needed unless there is only one class.
        classes: Names of all classes in the order of the labels, where ``keypoint_classes`` has names; COCO's by
            default where there are 80 classes.
        **kwargs: Arguments of ``StandardRoIHead``.

    Attributes:
        keypoint_labels: Indices of the classes that have keypoints.

    Raises:
        ValueError: If ``share_iou`` is not in (0, 1), or ``keypoint_classes`` is invalid, see ``keypoint_labels``.
    """

    def __init__(
        self,
        keypoint_roi_extractor: dict,
        keypoint_head: dict,
        share_iou: float | None = 0.7,
        keypoint_classes: Sequence[str | int] | None = None,
        classes: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if share_iou is not None and not 0 < share_iou < 1:
            raise ValueError(f'share_iou must be in (0, 1), or None, got {share_iou!r}')
        super().__init__(**kwargs)
        self.share_iou = share_iou
        self.keypoint_labels = keypoint_labels(keypoint_classes, self.bbox_head.num_classes, classes)
        self.keypoint_roi_extractor = MODELS.build(keypoint_roi_extractor)
        self.keypoint_head = MODELS.build(keypoint_head)

    def forward(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample] | None = None,
    ) -> tuple:
        """Raw outputs of all heads, the keypoint head's last, for the first 100 proposals as with masks."""
        results = super().forward(x, rpn_results_list, batch_data_samples)
        rois = bbox2roi([proposals.bboxes for proposals in rpn_results_list])[:100]
        return (*results, self._keypoint_forward(x, rois))

    def loss(
        self, x: tuple[Tensor, ...], rpn_results_list: list[InstanceData], batch_data_samples: list[DetDataSample]
    ) -> dict[str, Tensor]:
        """Losses of all heads from one sample of the proposals; see ``StandardRoIHead.loss``."""
        gt_instances, ignored_instances, _ = unpack_gt_instances(batch_data_samples)
        sampling_results = []
        for index, (proposals, gts, ignored) in enumerate(zip(rpn_results_list, gt_instances, ignored_instances)):
            proposals.priors = proposals.pop('bboxes')
            assigned = self.bbox_assigner.assign(proposals, gts, ignored)
            features = [level[index][None] for level in x]
            sampling_results.append(self.bbox_sampler.sample(assigned, proposals, gts, feats=features))
        bbox_results = self.bbox_loss(x, sampling_results)
        losses = dict(bbox_results['loss_bbox'])
        if self.with_mask:
            mask_results = self.mask_loss(x, sampling_results, bbox_results['bbox_feats'], gt_instances)
            losses.update(mask_results['loss_mask'])
        losses.update(self.keypoint_loss(x, sampling_results, gt_instances))
        return losses

    def keypoint_loss(
        self, x: tuple[Tensor, ...], sampling_results: list[SamplingResult], batch_gt_instances: list[InstanceData]
    ) -> dict[str, Tensor]:
        """Losses of the keypoint head.

        Args:
            x: Feature maps of the batch.
            sampling_results: Sampled proposals per image.
            batch_gt_instances: Valid objects per image, with ``keypoints`` and ``keypoints_visible``.

        Raises:
            ValueError: If an image with objects lacks either, or their shape does not fit the objects and the head.
        """
        boxes, keypoints, visible = [], [], []
        for sampled, gts in zip(sampling_results, batch_gt_instances):
            priors = get_box_tensor(sampled.pos_priors).detach()
            of_priors = self._keypoints_of(gts, sampled.pos_assigned_gt_inds, priors)
            trained = visible_inside(*of_priors, priors).any(dim=1) & self._have_keypoints(sampled.pos_gt_labels)
            boxes.append(priors[trained])
            keypoints.append(of_priors[0][trained])
            visible.append(of_priors[1][trained])
        # Without any RoI the head still runs, on nothing: all its weights stay in the graph, as DDP wants it.
        preds = self._keypoint_forward(x, bbox2roi(boxes))
        return self.keypoint_head.loss(preds, torch.cat(boxes), torch.cat(keypoints), torch.cat(visible))

    def _have_keypoints(self, labels: Tensor) -> Tensor:
        """Bool (N,): which of the labels (N,) are of a class that has keypoints."""
        return torch.isin(labels, labels.new_tensor(self.keypoint_labels))

    def _keypoints_of(self, gts: InstanceData, gt_inds: Tensor, reference: Tensor) -> tuple[Tensor, Tensor]:
        """Keypoints (P, K, 2) and visibility (P, K) of the objects with the given indices (P,)."""
        num_keypoints = self.keypoint_head.num_keypoints
        if len(gts) == 0:
            return reference.new_zeros(0, num_keypoints, 2), reference.new_zeros(0, num_keypoints)
        for name in ('keypoints', 'keypoints_visible'):
            if name not in gts:
                raise ValueError(
                    f'gt_instances have no {name!r}, only {sorted(gts.keys())}: load keypoints in the pipeline and end '
                    'it with PackInstanceInputs'
                )
        shapes = tuple(gts.keypoints.shape), tuple(gts.keypoints_visible.shape)
        if shapes != ((len(gts), num_keypoints, 2), (len(gts), num_keypoints)):
            raise ValueError(
                f'{len(gts)} objects and a keypoint head with num_keypoints={num_keypoints} need keypoints of shape '
                f'({len(gts)}, {num_keypoints}, 2) and keypoints_visible of shape ({len(gts)}, {num_keypoints}), got '
                f'{shapes[0]} and {shapes[1]}'
            )
        return gts.keypoints[gt_inds].to(reference), gts.keypoints_visible[gt_inds].to(reference)

    def _keypoint_forward(self, x: Sequence[Tensor], rois: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Maps of the RoIs, (R, 5): index in the batch and xyxy in view pixels."""
        # The extractor rounds RoIs to the precision of the features: in bfloat16 that is 4 px at x = 1000.
        levels = tuple(level.float() for level in x[: self.keypoint_roi_extractor.num_inputs])
        features = self.keypoint_roi_extractor(levels, rois.float()).to(x[0].dtype)
        if self.with_shared_head:
            features = self.shared_head(features)
        return self.keypoint_head(features)

    def predict(
        self,
        x: tuple[Tensor, ...],
        rpn_results_list: list[InstanceData],
        batch_data_samples: list[DetDataSample],
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Detections of each image with boxes, masks (if there is a mask head) and keypoints."""
        results_list = super().predict(x, rpn_results_list, batch_data_samples, rescale=rescale)
        metas = [sample.metainfo for sample in batch_data_samples]
        return self.predict_keypoint(x, metas, results_list, rescale=rescale)

    def predict_keypoint(
        self,
        x: tuple[Tensor, ...],
        batch_img_metas: list[dict],
        results_list: list[InstanceData],
        rescale: bool = False,
    ) -> list[InstanceData]:
        """Add ``keypoints`` and ``keypoint_scores`` to detections.

        Args:
            x: Feature maps of the batch.
            batch_img_metas: Meta information of each image; ``scale_factor`` (w, h) is read when ``rescale``.
            results_list: Detections of each image, changed in place.
            rescale: Whether the boxes are divided by the scale factor already; keypoints then are, too.
        """
        rois, factors, rows, indices = [], [], [], []
        for results, meta in zip(results_list, batch_img_metas):
            boxes = get_box_tensor(results.bboxes).float()
            factor = boxes.new_tensor(meta['scale_factor'] if rescale else (1.0, 1.0))
            row = torch.nonzero(self._have_keypoints(results.labels)).squeeze(1)
            boxes_view = boxes[row] * factor.repeat(2)
            chosen, index = representatives(boxes_view, results.scores[row], results.labels[row], self.share_iou)
            rois.append(boxes_view[chosen])
            factors.append(factor)
            rows.append(row)
            indices.append(index)
        # Each chunk is decoded before the next is computed: maps are much larger than keypoints.
        decoded = [
            self.keypoint_head.decode(self._keypoint_forward(x, chunk), chunk[:, 1:])
            for chunk in bbox2roi(rois).split(_ROIS_AT_ONCE)
        ]
        counts = [len(boxes) for boxes in rois]
        keypoints, scores = (torch.cat(parts).split(counts) for parts in zip(*decoded))
        for i, results in enumerate(results_list):
            _without_keypoints(results, self.keypoint_head.num_keypoints)
            results.keypoints[rows[i]] = keypoints[i][indices[i]] / factors[i]
            results.keypoint_scores[rows[i]] = scores[i][indices[i]]
        return results_list


def _without_keypoints(results: InstanceData, num_keypoints: int) -> None:
    """Give detections the keypoints of a class that has none: they stay in the box, however views are merged."""
    boxes = get_box_tensor(results.bboxes).float()
    centers = (boxes[:, :2] + boxes[:, 2:]) / 2
    results.keypoints = centers[:, None].repeat(1, num_keypoints, 1)
    results.keypoint_scores = boxes.new_full((len(boxes), num_keypoints), NO_KEYPOINT_SCORE)
