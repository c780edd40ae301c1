"""Assigning the anchors of one chip: against mmdet's overlaps, in the same assigner."""

from collections.abc import Callable

import numpy as np
import torch
from mmdet.models.task_modules.prior_generators import AnchorGenerator
from mmengine.structures import InstanceData

from mmisn.models.task_modules import ScaleRangeAssigner

from .coco_like import coco_like_objects
from .report import Row
from .timing import interleaved

CHIP_SIZE = 576
STRIDES = (4, 8, 16, 32, 64)
# Objects of the chip, and of those the ones out of range.
NUM_OBJECTS, NUM_IGNORED = 10, 5


def jobs(rounds: int) -> list[tuple[str, Callable[[], list[Row]]]]:
    """Name and function of the measurement."""
    return [('assigning the anchors of a chip', lambda: [assign_row(rounds)])]


def anchors_of_chip() -> torch.Tensor:
    """(A, 4) xyxy in view pixels: the anchors of Faster R-CNN's FPN on a chip of 576x576 px."""
    generator = AnchorGenerator(strides=STRIDES, ratios=[0.5, 1.0, 2.0], scales=[8])
    return torch.cat(generator.grid_priors([(CHIP_SIZE // s, CHIP_SIZE // s) for s in STRIDES], device='cpu'))


def assigners() -> dict[str, ScaleRangeAssigner]:
    """The RPN's assigner as it is, and with mmdet's overlaps."""
    thresholds = dict(pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3)
    return dict(
        ours=ScaleRangeAssigner(**thresholds),
        mmdet=ScaleRangeAssigner(**thresholds, iou_calculator=dict(type='BboxOverlaps2D')),
    )


def assign_row(rounds: int) -> Row:
    """Time both assigners on the same anchors and objects."""
    anchors = InstanceData(priors=anchors_of_chip())
    drawn = coco_like_objects(1, np.random.default_rng(0), (CHIP_SIZE, CHIP_SIZE), NUM_OBJECTS)[0].boxes_xyxy
    boxes = torch.from_numpy(drawn).float()
    valid = InstanceData(bboxes=boxes[NUM_IGNORED:], labels=torch.zeros(NUM_OBJECTS - NUM_IGNORED, dtype=torch.long))
    ignored = InstanceData(bboxes=boxes[:NUM_IGNORED])
    ways = {name: lambda objects, a=a: a.assign(anchors, *objects) for name, a in assigners().items()}
    times = interleaved(ways, [(valid, ignored)], rounds)
    return Row(
        f'assign {len(anchors):,} anchors of a chip to {len(valid)} objects, {len(ignored)} ignored',
        f'{1e3 * times["ours"]:.1f} ms',
        f"the same with mmdet's BboxOverlaps2D, {1e3 * times['mmdet']:.1f} ms",
        times['mmdet'] / times['ours'],
    )
