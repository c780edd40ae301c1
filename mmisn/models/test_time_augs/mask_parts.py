"""The parts of a detector that make masks, each by itself: features of boxes, probabilities of features, pasting.

Shape shorthand: n boxes, C channels, m side of a mask head's output (28), H and W height and width of the image.
"""

import warnings
from collections.abc import Sequence

import torch
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from mmdet.models.roi_heads.mask_heads import FCNMaskHead
from mmdet.models.test_time_augs import merge_aug_masks
from mmdet.structures.bbox import bbox2roi
from torch import Tensor, nn

# Boxes that go through the mask head together, at least, at 2 to 3 MB each; all, where there are fewer. The kernels of
# much smaller batches may round differently, and masks would not be mmdet's to the last pixel.
_CHUNK = 20


class MaskParts:
    """What ``predict_mask`` of a RoI head does, in parts; joined, they compute the same to the last bit.

    Args:
        roi_head: A ``StandardRoIHead`` or ``CascadeRoIHead`` with masks, see ``supports``.
    """

    def __init__(self, roi_head: nn.Module) -> None:
        self.roi_head = roi_head

    @staticmethod
    def supports(roi_head: nn.Module) -> bool:
        """Whether masks are predicted in one of the two ways that are known here."""
        kind = type(roi_head)
        known = any(
            kind.predict_mask is k.predict_mask and kind._mask_forward is k._mask_forward
            for k in (StandardRoIHead, CascadeRoIHead)
        )
        return known and all(isinstance(h, FCNMaskHead) for h in _modules(roi_head.mask_head))

    def features(self, x: tuple[Tensor, ...], boxes_view: Tensor) -> list[Tensor]:
        """What the mask head takes.

        Args:
            x: Feature maps of one view, (1, C, h, w) per level.
            boxes_view: (n, 4) boxes in view pixels.

        Returns:
            (n, C, 14, 14) features, for each of the stages that have a mask head.
        """
        rois = bbox2roi([boxes_view])
        found = [e(x[: e.num_inputs], rois).detach() for e in _modules(self.roi_head.mask_roi_extractor)]
        return [self.roi_head.shared_head(f) for f in found] if self.roi_head.with_shared_head else found

    def probabilities(self, features: Sequence[Tensor], labels: Tensor) -> Tensor:
        """Run the mask head.

        Args:
            features: Per stage, see ``features``.
            labels: (n,) classes.

        Returns:
            (n, m, m) probabilities of each box's class.
        """
        parts = [self._probabilities([f[part] for f in features], labels[part]) for part in portions(len(labels))]
        return torch.cat(parts) if parts else torch.zeros(0, 0, 0, device=labels.device)

    def _probabilities(self, features: Sequence[Tensor], labels: Tensor) -> Tensor:
        heads = _modules(self.roi_head.mask_head)
        probs = [head(f).sigmoid().detach() for head, f in zip(heads, features)]
        # CascadeRoIHead would mirror the masks of flipped views, but not their boxes.
        merged = probs[0] if len(probs) == 1 else merge_aug_masks(probs, dict(flip=False))
        of_class = torch.zeros_like(labels) if heads[-1].class_agnostic else labels
        return merged[torch.arange(len(merged), device=labels.device), of_class]

    def paste(self, probs: Tensor, boxes_xyxy: Tensor, image_wh: tuple[int, int]) -> Tensor:
        """Paste (n, m, m) probabilities of (n, 4) boxes into (n, H, W) masks, binary if the head's settings say so."""
        test_cfg = self.roi_head.test_cfg
        if len(probs) == 0:
            kind = torch.bool if test_cfg.mask_thr_binary >= 0 else torch.uint8
            return torch.zeros(0, *image_wh[::-1], dtype=kind, device=boxes_xyxy.device)
        head = _modules(self.roi_head.mask_head)[-1]
        meta = dict(ori_shape=image_wh[::-1], scale_factor=(1.0, 1.0))
        first = boxes_xyxy.new_zeros(len(probs), dtype=torch.long)  # the only class of ``probs``
        with warnings.catch_warnings():
            # mmdet copies the probabilities in a way that torch warns of.
            warnings.filterwarnings('ignore', message='To copy construct from a tensor')
            return head._predict_by_feat_single(
                probs[:, None], boxes_xyxy.clone(), first, meta, test_cfg, rescale=True, activate_map=True
            )


def portions(number: int) -> list[slice]:
    """Cut ``number`` rows into portions of about equal size, ``_CHUNK`` to less than two of it."""
    count = max(1, number // _CHUNK) if number else 0
    ends = [number * i // count for i in range(count + 1)] if count else []
    return [slice(start, end) for start, end in zip(ends, ends[1:])]


def _modules(module: nn.Module) -> list[nn.Module]:
    """One module per stage."""
    return list(module) if isinstance(module, nn.ModuleList) else [module]
