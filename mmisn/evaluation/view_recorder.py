"""Run a config's test-time augmentation and keep what every view reported before its range was applied."""

import copy
import itertools
import re
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.runner import CheckpointLoader
from mmengine.structures import InstanceData

from mmisn.chips import level_name
from mmisn.chips.levels import build_level
from mmisn.models.dense_heads.scale_range_mixin import ScaleRangeFilterMixin
from mmisn.models.test_time_augs import ScaleRangeTTAModel, chip_of_view, filters_of_views

from .view_diagnosis import View


@dataclass(frozen=True)
class RecordedImage:
    """What the views of an image reported.

    Attributes:
        image_id: ``img_id`` of the image.
        image_wh: Width and height of the original image.
        views: Per view its chip and its detections before any filter, as ``merge_views`` takes them.
        open_views: The same with a detector that was told of no range.
        merged: The result of all views together.
    """

    image_id: int | str
    image_wh: tuple[int, int]
    views: Sequence[View]
    open_views: Sequence[View]
    merged: InstanceData


class ViewRecorder(ScaleRangeTTAModel):
    """A ``ScaleRangeTTAModel`` that hands out its views' detections beside the merged result.

    Heads that filter by range themselves (``ScaleRangeRPNHead``) hide what a wider range would find; with such heads
    each view goes through the detector a second time, told of no range.

    Args:
        *args: ``ScaleRangeTTAModel``'s.
        **kwargs: ``ScaleRangeTTAModel``'s.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._recorded = []

    @property
    def filters_itself(self) -> bool:
        """Whether the detector has heads that filter by range in testing."""
        return any(isinstance(m, ScaleRangeFilterMixin) and m.filter_in_test for m in self.module.modules())

    @torch.no_grad()
    def record(self, data: dict) -> list[RecordedImage]:
        """Test a batch.

        Args:
            data: From a loader whose pipeline is a ``tta_pipeline``.

        Returns:
            One entry per image.
        """
        merged = self.test_step(data)
        recorded = self._recorded
        filters = filters_of_views(self.view_filters, len(data['data_samples']))
        opened = recorded
        if self.filters_itself and not all(f.scale_range.is_infinite for f in filters):
            opened = self._test_open(data)
        return [
            RecordedImage(m.img_id, tuple(m.ori_shape[1::-1]), views, open_views, m.pred_instances)
            for m, views, open_views in zip(merged, recorded, opened)
        ]

    def merge_preds(self, data_samples_list):
        """Merge as ever, and keep the views."""
        # The containers of now: a second pass gives the same samples new ones.
        self._recorded = [_views_of(samples) for samples in data_samples_list]
        return super().merge_preds(data_samples_list)

    def _test_open(self, data: dict) -> list[list[View]]:
        for samples in data['data_samples']:
            for sample in samples:
                sample.set_metainfo(dict(scale_range=(0.0, float('inf'))))
        num_views = len(data['data_samples'])
        # No masks are pasted for all that the views report.
        with nullcontext() if self.view_masks is None else self.view_masks.collecting():
            outputs = [self.module.test_step({k: v[i] for k, v in data.items()}) for i in range(num_views)]
        return [_views_of(samples) for samples in zip(*outputs)]


def _views_of(samples: Sequence) -> list[View]:
    return [(chip_of_view(s.metainfo), _boxes_of(s.pred_instances)) for s in samples]


def _boxes_of(detections: InstanceData) -> InstanceData:
    # Masks and keypoints take no part in a diagnosis.
    return InstanceData(**{name: detections[name] for name in ('bboxes', 'scores', 'labels')})


def build_recorder(cfg: Config | ConfigDict, checkpoint: str | Path, device: str = 'cpu') -> ViewRecorder:
    """Build the model that ``mim test --tta`` would test, as a ``ViewRecorder``, with its weights.

    Args:
        cfg: A whole config; ``tta_model`` is a ``ScaleRangeTTAModel``, or mmdet's ``DetTTAModel``, whose views have
            infinite ranges.
        checkpoint: Of the detector.
        device: Where the model is put.

    Raises:
        ValueError: If the config has no such ``tta_model`` or no ``tta_pipeline``.
        RuntimeError: If the checkpoint lacks weights or does not fit.
    """
    missing = [key for key in ('model', 'tta_model', 'tta_pipeline') if cfg.get(key) is None]
    if missing:
        raise ValueError(
            f'{getattr(cfg, "filename", None) or "the config"} has no {" and no ".join(missing)}; take a _base_ file '
            'of configs/_base_/tta, which has a tta_model and a tta_pipeline'
        )
    kwargs = copy.deepcopy(dict(cfg.tta_model))
    kind = kwargs.pop('type')
    if kind == 'DetTTAModel':
        # The same numbers, see ScaleRangeTTAModel.
        tta_cfg = kwargs.get('tta_cfg') or {}
        kwargs = dict(nms=dict(tta_cfg['nms']), max_per_img=tta_cfg['max_per_img'], view_test_cfg=None)
    elif kind != 'ScaleRangeTTAModel':
        raise ValueError(f'tta_model is a {kind}; ScaleRangeTTAModel and DetTTAModel can be diagnosed')
    recorder = ViewRecorder(module=copy.deepcopy(cfg.model), **kwargs)
    load_whole(recorder.module, checkpoint)
    return revert_sync_batchnorm(recorder).to(device).eval()


def load_whole(module: torch.nn.Module, checkpoint: str | Path) -> None:
    """Load weights wholly; mmengine would only warn of missing ones, and a diagnosis of random weights looks real.

    Raises:
        RuntimeError: If the checkpoint lacks weights or does not fit.
    """
    content = CheckpointLoader.load_checkpoint(str(checkpoint), map_location='cpu')
    weights = {re.sub(r'^module\.', '', k): v for k, v in content.get('state_dict', content).items()}
    # A shape that does not fit raises by itself.
    missing = module.load_state_dict(weights, strict=False).missing_keys
    missing = [k for k in missing if not k.endswith('num_batches_tracked')]
    if missing:
        raise RuntimeError(
            f'{checkpoint} lacks {len(missing)} weights of {type(module).__name__}, among them '
            f'{", ".join(missing[:3])}. Is it the checkpoint of another model?'
        )


def name_views(tta_pipeline: Sequence[dict]) -> list[str]:
    """Short names of the views of a TTA pipeline, in their order: ``x0.5``, ``1333x800``, ``x2 flipped``.

    Args:
        tta_pipeline: Configs of transforms, one of them a ``TestTimeAug``.

    Returns:
        One name per view, all different.

    Raises:
        ValueError: If there is not exactly one ``TestTimeAug``.
    """
    groups = [t['transforms'] for t in tta_pipeline if t['type'] == 'TestTimeAug']
    if len(groups) != 1:
        raise ValueError(f'a tta_pipeline has one TestTimeAug, got {[t["type"] for t in tta_pipeline]}')
    names = [
        ' '.join(p for t in chain for p in _parts_of_name(t)) or 'as is' for chain in itertools.product(*groups[0])
    ]
    return [f'{n} ({names[: i + 1].count(n)})' if names.count(n) > 1 else n for i, n in enumerate(names)]


def _parts_of_name(transform: dict) -> list[str]:
    kind = transform['type']
    if kind == 'GenerateChips':
        generator = transform['generator']
        levels = generator.get('factors') or ()
        flipped = tuple(generator.get('flips', ())) == (True,)
        return [level_name(build_level(level)) for level in levels] + ['flipped'] * flipped
    if kind == 'Resize':
        scale = transform.get('scale_factor') or transform.get('scale')
        if isinstance(scale, (int, float)):
            return [f'x{scale:g}'] if transform.get('scale_factor') else [f'{scale}x{scale}']
        return [level_name(build_level(scale))] if all(isinstance(v, int) for v in scale) else [f'x{scale}']
    return ['flipped'] if kind == 'RandomFlip' and transform.get('prob') == 1 else []
