"""Multi-scale testing in which each view reports only the objects whose scale it can handle."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.model import BaseTTAModel
from torch import nn

from mmisn.structures import ViewFilter, warn_of_scale_gaps

from .mask_store import MaskRequest, MaskStore
from .merge import DEFAULT_NMS, check_merge_options, merge_views
from .view_masks import ViewMasks
from .view_test_cfg import OPEN_TEST_CFG, open_test_cfg
from .views import build_view_filters, chip_of_view, filters_of_views, metainfo_of_image


@MODELS.register_module()
class ScaleRangeTTAModel(BaseTTAModel):
    """Test-time augmentation with a scale range (ISN section 3.3.1; SNIP and SNIPER with a range per view).

    With an infinite range, ``nms=dict(type='nms', ...)`` and ``view_test_cfg=None`` it computes what mmdet's
    ``DetTTAModel`` does. Views are those of mmdet's TTA pipelines (``Resize``, ``RandomFlip``), or chips, which have
    ``chip`` among their meta keys (``PackInstanceInputs``)::

        tta_model = dict(type='ScaleRangeTTAModel', scale_range=(16, 560))

    Views go through the detector one after the other, so memory holds the features of one view at a time. Masks of a
    Mask R-CNN are merged too, see ``ViewMasks``; so are keypoints, whose ``flip_indices`` come from the views' meta
    information.

    Args:
        module: The detector, or its config.
        scale_range: Range of the detections that a view may report. Anything that ``ScaleRange.build`` takes; a list of
            these gives one per view, in the order of the views.
        view_filter: In place of ``scale_range``, a ``ViewFilter`` (or its arguments), or a list with one per view.
        nms: Suppression among the merged detections, see ``merge_views``.
        max_per_img: Detections per image.
        view_test_cfg: Settings of the detector's last stage in each view, see ``open_test_cfg``. By default they are
            opened up, so that the filter sees a view's detections before NMS and top-k; ``None`` leaves them alone.
        average_masks: Average the masks over the views whose range holds the box, see ``average_masks_of_views``.
        data_preprocessor: In place of the detector's.

    Raises:
        ValueError: If an option is invalid.
    """

    def __init__(
        self,
        module: dict | nn.Module,
        scale_range: Any = None,
        view_filter: Any = None,
        nms: dict | None = DEFAULT_NMS,
        max_per_img: int = 100,
        view_test_cfg: dict | None = OPEN_TEST_CFG,
        average_masks: bool = False,
        data_preprocessor: dict | nn.Module | None = None,
    ) -> None:
        check_merge_options(nms, max_per_img)
        super().__init__(module, data_preprocessor)
        self.view_filters = build_view_filters(scale_range, view_filter)
        self.nms = nms if nms is None else dict(nms)
        self.max_per_img = max_per_img
        open_test_cfg(self.module, view_test_cfg)
        self.view_masks = ViewMasks.build(self.module, self.nms, max_per_img, average=average_masks)
        self._looked_for_gaps = False

    def test_step(self, data: dict) -> list[DetDataSample]:
        """Detect in every view, then merge; each view is told its range, which range-aware heads read."""
        with nullcontext() if self.view_masks is None else self.view_masks.collecting() as store:
            filters = self._prepare_views(data)
            results = super().test_step(data)
            if store is not None:
                for image, result in enumerate(results):
                    self._finish_masks(data, image, result, filters, store)
        return results

    def _prepare_views(self, data: dict) -> list[ViewFilter]:
        """Tell each view its range, and which masks are wanted of it."""
        samples_of_views = data['data_samples']
        filters = filters_of_views(self.view_filters, len(samples_of_views))
        for view, (view_filter, samples) in enumerate(zip(filters, samples_of_views)):
            for image, sample in enumerate(samples):
                chip = chip_of_view(sample.metainfo)
                view_range = view_filter.scale_range.in_view(chip)
                sample.set_metainfo(dict(scale_range=(view_range.lower, view_range.upper)))
                if self.view_masks is not None:
                    sample.set_metainfo(dict(mask_request=MaskRequest(image, view, chip, view_filter)))
        self._warn_of_gaps([samples[0] for samples in samples_of_views], filters)
        return filters

    def _finish_masks(
        self, data: dict, image: int, result: DetDataSample, filters: Sequence[ViewFilter], store: MaskStore
    ) -> None:
        def detect(request: MaskRequest) -> None:
            sample = data['data_samples'][request.view][image].clone()
            sample.set_metainfo(dict(mask_request=request))
            self.module.test_step({**_item(data, request.view, image), 'data_samples': [sample]})

        chips = [chip_of_view(samples[image].metainfo) for samples in data['data_samples']]
        image_wh = tuple(result.ori_shape[1::-1])
        self.view_masks.finish(result.pred_instances, image, chips, filters, image_wh, store, detect)

    def _warn_of_gaps(self, samples: Sequence[DetDataSample], filters: Sequence[ViewFilter]) -> None:
        if self._looked_for_gaps:
            return
        self._looked_for_gaps = True
        chips = [chip_of_view(s.metainfo) for s in samples]
        warn_of_scale_gaps([f.scale_range.in_original(c) for f, c in zip(filters, chips)], 'no view')

    def merge_preds(self, data_samples_list: Sequence[Sequence[DetDataSample]]) -> list[DetDataSample]:
        """Merge the views of each image.

        Args:
            data_samples_list: Per image the predicted data samples of its views; they are not changed.

        Returns:
            One data sample per image, with the meta information of the original image, ``num_views`` and
            ``view_pixels``, the pixels that the detector has looked at (padding not counted).
        """
        return [self._merge_image(samples) for samples in data_samples_list]

    def _merge_image(self, samples: Sequence[DetDataSample]) -> DetDataSample:
        chips = [chip_of_view(s.metainfo) for s in samples]
        first = samples[0]
        height, width = first.ori_shape[:2]
        views = [(chip, s.pred_instances) for chip, s in zip(chips, samples)]
        merged = DetDataSample(metainfo=metainfo_of_image(first.metainfo))
        merged.set_metainfo(dict(num_views=len(chips), view_pixels=sum(c.num_pixels for c in chips)))
        if 'chip' not in first.metainfo or first.get('gts_in_original'):
            # mmdet's test pipelines load annotations after resizing: they are in original pixels. Those that were
            # loaded before a chip was cropped are the chip's.
            for name in ('gt_instances', 'ignored_instances'):
                if name in first:
                    setattr(merged, name, getattr(first, name))
        merged.pred_instances = merge_views(
            views, (width, height), self.view_filters, self.nms, self.max_per_img, first.get('flip_indices')
        )
        return merged


def _item(data: dict, view: int, image: int) -> dict:
    """One image of one view, as a batch."""
    return {k: v[view][image : image + 1] for k, v in data.items()}
