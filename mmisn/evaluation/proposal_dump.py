"""``DumpLevelProposals``: write what a proposal network finds at each level into a proposals file."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric

from mmisn.chips import build_level_ranges, build_levels, level_name
from mmisn.datasets.proposals import pack_proposals, save_proposals


@METRICS.register_module()
class DumpLevelProposals(BaseMetric):
    """Write the proposals of all images, level by level, to an .npz file (SNIPER section 3.3).

    The views of each image are the levels, in their order, and ``ScaleRangeTTAModel`` with ``nms=None`` leaves their
    proposals apart: ``view_ids`` tells which level one is from. See ``mmisn.experiments.proposal_net``.

    Args:
        out_file: The proposals file.
        levels: Factors or sizes of the views.
        scale_ranges: One range for all levels, or one per level; kept in the file.
        max_per_level: Proposals per image and level to keep, the best ones.
        collect_device: ``cpu`` or ``gpu``, see ``BaseMetric``.
        prefix: Of the names of the counts.

    Raises:
        ValueError: If levels or ranges are invalid, or the file's name does not end in ``.npz``.
    """

    default_prefix = 'proposals'

    def __init__(
        self,
        out_file: str,
        levels: Sequence[Any],
        scale_ranges: Any,
        max_per_level: int = 300,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if not str(out_file).endswith('.npz'):
            raise ValueError(f'DumpLevelProposals.out_file must end in .npz, got {out_file!r}')
        if max_per_level < 1:
            raise ValueError(f'DumpLevelProposals.max_per_level must be at least 1, got {max_per_level}')
        self.out_file = str(out_file)
        self.levels = build_levels(levels)
        self.scale_ranges = build_level_ranges(scale_ranges, len(self.levels))
        self.max_per_level = max_per_level

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Keep the proposals of a batch of images.

        Args:
            data_batch: Not used.
            data_samples: Per image ``img_id``, ``ori_shape`` and ``pred_instances`` with ``bboxes`` (N, 4) in original
                pixels, ``scores`` and ``view_ids`` (N,), in descending order of score.

        Raises:
            ValueError: If there are more views than levels.
        """
        for sample in data_samples:
            found = {k: sample['pred_instances'][k].cpu().numpy() for k in ('bboxes', 'scores', 'view_ids')}
            view_ids = found['view_ids']
            if len(view_ids) and view_ids.max() >= len(self.levels):
                raise ValueError(
                    f'view {view_ids.max()} of image {sample["img_id"]}: there are {len(self.levels)} levels'
                )
            rows = [(view_ids == level).nonzero()[0][: self.max_per_level] for level in range(len(self.levels))]
            per_level = [(found['bboxes'][r].astype(np.float32), found['scores'][r].astype(np.float32)) for r in rows]
            height, width = sample['ori_shape'][:2]
            self.results.append((str(sample['img_id']), (int(width), int(height)), per_level))

    def compute_metrics(self, results: list) -> dict[str, float]:
        """Write the file.

        Args:
            results: What ``process`` kept, of all images.

        Returns:
            Numbers of images and of proposals per level.
        """
        proposals = pack_proposals(results, self.levels, self.scale_ranges)
        save_proposals(proposals, self.out_file)
        counts = {level_name(level): int(n) for level, n in zip(self.levels, proposals.counts())}
        return dict(images=len(proposals.image_ids), **counts)
