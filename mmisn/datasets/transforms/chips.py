"""Pipeline transforms that put a chip in the place of the image."""

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TASK_UTILS, TRANSFORMS
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.logging import print_log

from mmisn.structures import INTERPOLATIONS, Chip, ScaleRange, clip_boxes, crop_resample

from .keypoints import crop_keypoints
from .masks import crop_masks


def image_wh_of(results: dict) -> tuple[int, int]:
    """Width and height of the original image."""
    height, width = results['ori_shape'][:2]
    return width, height


def original_boxes(results: dict) -> np.ndarray:
    """The gt boxes as chips and ranges judge them.

    Returns:
        (N, 4) float64 xyxy boxes in original pixels, clipped to the image.
    """
    boxes = results['gt_bboxes']
    array = boxes.numpy() if isinstance(boxes, HorizontalBoxes) else np.asarray(boxes)
    return clip_boxes(array.reshape(-1, 4).astype(np.float64), image_wh_of(results))


@TRANSFORMS.register_module()
class GenerateChips(BaseTransform):
    """Choose one chip of the image, at random where there are several.

    With a training generator (``CoverChips``, or ``PyramidChips`` with a ``scale_range``) the chip is drawn from the
    image's plan; an image for which the plan is empty is skipped (the transform returns ``None``, upon which mmdet
    draws another image). Objects that no chip holds are counted, and the counts logged at each power of two. Other
    generators give a view to test on: with ``PyramidChips`` of one factor and one flip nothing is random.

    ``ChipDataset`` does the same for every chip of every image, from a plan made once, without this transform.

    Required Keys:

    - ori_shape
    - gt_bboxes (with a training generator)
    - gt_ignore_flags (optional)

    Added Keys:

    - chip (Chip)
    - scale_range (tuple[float, float]): in view pixels; of training chips only

    Args:
        generator: Config of a chip generator (registry ``TASK_UTILS``).
        flip_prob: Probability of a left-right flip of a training chip.

    Raises:
        ValueError: If ``flip_prob`` is not a probability.
    """

    def __init__(self, generator: dict, flip_prob: float = 0.0) -> None:
        if not 0 <= flip_prob <= 1:
            raise ValueError(f'GenerateChips.flip_prob must be in [0, 1], got {flip_prob}')
        self.generator = TASK_UTILS.build(generator)
        self.flip_prob = flip_prob
        self.num_objects_lost = 0
        self.num_images_skipped = 0

    def transform(self, results: dict) -> dict | None:
        rng = np.random.default_rng(np.random.randint(2**31))
        if getattr(self.generator, 'scale_ranges', None) is None:
            views = self.generator.views(image_wh_of(results))
            results['chip'] = views[rng.integers(len(views))] if len(views) > 1 else views[0]
            return results
        ignored = results.get('gt_ignore_flags', np.zeros(len(results['gt_bboxes']), bool)).astype(bool)
        plan = self.generator.plan(image_wh_of(results), original_boxes(results)[~ignored], rng)
        self._count(len(plan.lost), len(plan.chips) == 0)
        if not plan.chips:
            return None
        chosen = rng.integers(len(plan.chips))
        results['chip'] = plan.chips[chosen].flipped(bool(rng.random() < self.flip_prob))
        results['scale_range'] = tuple(plan.view_ranges[plan.levels[chosen]])
        return results

    def _count(self, num_lost: int, skipped: bool) -> None:
        before = self.num_objects_lost + self.num_images_skipped
        self.num_objects_lost += num_lost
        self.num_images_skipped += skipped
        after = self.num_objects_lost + self.num_images_skipped
        if after and after.bit_length() > before.bit_length():
            print_log(
                f'GenerateChips so far: {self.num_objects_lost} in-range objects that no chip can hold, '
                f'{self.num_images_skipped} images without a chip',
                'current',
            )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(generator={self.generator}, flip_prob={self.flip_prob})'


@TRANSFORMS.register_module()
class CropChip(BaseTransform):
    """Cut the chip from the image: crop first, resample after, flip last.

    Objects that share no area with the chip are left out. An object that the chip shows only in part is no background
    either: it becomes ignored, its box clipped to the chip. A keypoint outside the chip becomes unlabelled, (0, 0, 0).

    Required Keys:

    - chip
    - img
    - ori_shape
    - gt_bboxes (optional)
    - gt_bboxes_labels (optional)
    - gt_ignore_flags (optional)
    - gt_masks (optional)
    - gt_keypoints (optional)
    - flip_indices (with gt_keypoints, where the chip flips)

    Modified Keys:

    - img
    - img_shape
    - gt_bboxes
    - gt_bboxes_labels
    - gt_ignore_flags
    - gt_masks
    - gt_keypoints

    Added Keys:

    - scale_factor (tuple[float, float]): along x and y
    - keep_ratio
    - flip
    - flip_direction
    - chip_is_cropped
    - gts_in_original (bool): whether annotations, loaded later, stay in original pixels; test pipelines load them then

    Args:
        interpolation: ``nearest``, ``bilinear``, ``bicubic`` or ``area``.

    Raises:
        ValueError: If the image has another size than its annotation says, so that the chip was planned for another
            picture.
    """

    def __init__(self, interpolation: str = 'bilinear') -> None:
        if interpolation not in INTERPOLATIONS:
            raise ValueError(f'CropChip.interpolation must be one of {sorted(INTERPOLATIONS)}, got {interpolation!r}')
        self.interpolation = interpolation

    def transform(self, results: dict) -> dict:
        chip: Chip = results['chip']
        self._check_image(results)
        results['img'] = crop_resample(results['img'], chip, self.interpolation)
        results['img_shape'] = results['img'].shape[:2]
        results['scale_factor'] = chip.factors
        results['keep_ratio'] = False
        results['flip'] = chip.flip
        results['flip_direction'] = 'horizontal' if chip.flip else None
        results['chip_is_cropped'] = True
        results['gts_in_original'] = 'gt_bboxes' not in results
        if 'gt_bboxes' in results:
            self._crop_objects(results, chip)
        return results

    @staticmethod
    def _check_image(results: dict) -> None:
        height, width = results['img'].shape[:2]
        said = (results.get('width', width), results.get('height', height))
        if (width, height) != said:
            raise ValueError(
                f'{results.get("img_path", "the image")} is {width}x{height} px, but its annotation says '
                f'{said[0]}x{said[1]}; correct "width" and "height" in the annotation file'
            )

    @staticmethod
    def _crop_objects(results: dict, chip: Chip) -> None:
        boxes = original_boxes(results)
        shown = np.flatnonzero(chip.overlaps(boxes))
        boxes = boxes[shown]
        view_boxes = clip_boxes(chip.boxes_to_view(boxes), chip.size_wh)
        results['gt_bboxes'] = HorizontalBoxes(view_boxes.astype(np.float32))
        partly_shown = ~chip.encloses(boxes)
        ignored = results.get('gt_ignore_flags')
        ignored = np.zeros(len(shown), bool) if ignored is None else ignored[shown].astype(bool)
        results['gt_ignore_flags'] = ignored | partly_shown
        if 'gt_bboxes_labels' in results:
            results['gt_bboxes_labels'] = results['gt_bboxes_labels'][shown]
        if 'gt_keypoints' in results:
            keypoints = results['gt_keypoints'][shown]
            results['gt_keypoints'] = crop_keypoints(keypoints, chip, results.get('flip_indices'))
        if 'gt_masks' in results:
            results['gt_masks'] = crop_masks(results['gt_masks'][shown], chip)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(interpolation={self.interpolation!r})'


@TRANSFORMS.register_module()
class FilterByScale(BaseTransform):
    """Mark the objects whose scale is out of range as ignored (ISN section 3.3.1: "the invalid objects constitute the
    ignored regions that don't contribute to training").

    Scale is judged on the whole object. With a chip the transform therefore stands before ``CropChip``; without one
    (multi-scale training on whole images, SNIP) it stands after ``Resize``.

    Required Keys:

    - ori_shape
    - img_shape
    - gt_bboxes
    - gt_ignore_flags (optional)
    - chip (optional)
    - scale_range (optional)

    Modified Keys:

    - gt_ignore_flags

    Added Keys:

    - scale_range (tuple[float, float]): in view pixels

    Args:
        scale_range: Anything that ``ScaleRange.build`` takes; by default the range that the chip was planned with.

    Raises:
        ValueError: If no range is given and none came with the chip, or the chip is cropped already.
    """

    def __init__(self, scale_range: Any = None) -> None:
        self.scale_range = None if scale_range is None else ScaleRange.build(scale_range)

    def transform(self, results: dict) -> dict:
        if results.get('chip_is_cropped'):
            raise ValueError('FilterByScale judges whole objects: put it before CropChip in the pipeline')
        scale_range = self.scale_range
        if scale_range is None:
            if 'scale_range' not in results:
                raise ValueError(
                    'FilterByScale has no scale_range: give it one, or let ChipDataset or GenerateChips come before it'
                )
            scale_range = ScaleRange.build(results['scale_range'])
        if 'chip' in results:
            chip = results['chip']
            in_range = scale_range.in_original(chip).contains_boxes(original_boxes(results))
        else:
            # The boxes are resized already; factors follow from the two sizes.
            chip = Chip.full(image_wh_of(results), results['img_shape'][1::-1])
            in_range = scale_range.in_view(chip).contains_boxes(results['gt_bboxes'].numpy().astype(np.float64))
        ignored = results.get('gt_ignore_flags', np.zeros(len(in_range), bool)).astype(bool)
        results['gt_ignore_flags'] = ignored | ~in_range
        view_range = scale_range.in_view(chip)
        results['scale_range'] = (view_range.lower, view_range.upper)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(scale_range={self.scale_range})'
