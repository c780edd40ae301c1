"""Keypoints in mmdet's pipelines, whose own transforms know none."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmdet.registry import TRANSFORMS

from mmisn.structures import Chip

EPSILON_PX = 1e-3


def unlabel_outside(keypoints: np.ndarray, xyxy: tuple[float, float, float, float]) -> np.ndarray:
    """Set keypoints that lie outside a rectangle, or are not labelled, to (0, 0, 0).

    Args:
        keypoints: (N, K, 3) x, y, visibility.
        xyxy: Rectangle in the same pixels; its borders belong to it.

    Returns:
        A copy.
    """
    x, y, visibility = np.moveaxis(keypoints, -1, 0)
    x1, y1, x2, y2 = xyxy
    shown = (visibility > 0) & (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)
    return np.where(shown[..., None], keypoints, 0)


def crop_keypoints(keypoints: np.ndarray, chip: Chip, flip_indices: list[int] | None) -> np.ndarray:
    """Keypoints in the pixels of a chip; those that the chip does not show become unlabelled.

    Args:
        keypoints: (N, K, 3) x, y (original pixels), visibility.
        chip: The view.
        flip_indices: For each keypoint its partner, needed when the chip flips.

    Returns:
        (N, K, 3) float32 in view pixels.

    Raises:
        ValueError: If the chip flips and ``flip_indices`` is no permutation of the K keypoints.
    """
    shown = unlabel_outside(keypoints.astype(np.float64), chip.xyxy)
    view = chip.keypoints_to_view(shown, flip_indices)
    # Unlabelled keypoints moved along.
    return np.where(view[..., 2:] > 0, view, 0).astype(np.float32)


def matrix_of(results: dict) -> np.ndarray:
    """(3, 3) float64 matrix from original to present pixels, as mmdet's geometric transforms record it."""
    matrix = results.get('homography_matrix')
    return np.eye(3) if matrix is None else np.asarray(matrix, np.float64)


@TRANSFORMS.register_module()
class LoadKeypoints(BaseTransform):
    """Put the keypoints of ``CocoKeypointDataset`` into the results, one row per box.

    mmdet's ``LoadAnnotations`` takes ``with_keypoints`` and loads none; mmcv's fails on an image without objects.
    A plain picture of no dataset has neither of the keys and passes through: ``DetInferencer`` and
    ``inference_detector`` send such through the test pipeline.

    Required Keys:

    - instances (of a dataset)
    - flip_indices (of a dataset)

    Added Keys, unless it is a plain picture:

    - gt_keypoints ((N, K, 3) float32): x, y in original pixels and visibility, all 0 where not labelled
    - keypoint_matrix ((3, 3) float64): how mmdet's transforms had moved the image by then; test pipelines load
      annotations after ``Resize`` and keep them in original pixels

    Raises:
        ValueError: If the dataset has no keypoints, or the chip was cropped before.
    """

    def transform(self, results: dict) -> dict:
        instances = results.get('instances')
        if instances is None and 'flip_indices' not in results:
            return results
        if instances is None or 'flip_indices' not in results or any('keypoints' not in i for i in instances):
            raise ValueError(
                f'{results.get("img_path", "the image")} comes without keypoints: LoadKeypoints needs a '
                'CocoKeypointDataset'
            )
        if results.get('chip_is_cropped'):
            raise ValueError('LoadKeypoints reads original pixels: put it before CropChip')
        rows = [i['keypoints'] for i in instances]
        results['gt_keypoints'] = np.array(rows, np.float32).reshape(len(rows), len(results['flip_indices']), 3)
        results['keypoint_matrix'] = matrix_of(results)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


@TRANSFORMS.register_module()
class MapKeypoints(BaseTransform):
    """Move the keypoints to where mmdet's ``Resize``, ``RandomFlip`` and the like have moved the image.

    Stands once, after the last of these and before any padding; ``CropChip`` does the same by itself. A mirrored image
    swaps left and right. Keypoints that are no longer in the image become unlabelled. A plain picture of no dataset
    passes through, see ``LoadKeypoints``.

    Required Keys, unless it is a plain picture:

    - gt_keypoints
    - keypoint_matrix
    - img_shape
    - flip_indices
    - homography_matrix (optional): original to present pixels, as mmdet's transforms record it

    Modified Keys:

    - gt_keypoints
    - keypoint_matrix

    Raises:
        ValueError: If no keypoints are loaded, a transform before left out boxes, so that rows no longer fit, or
            ``CropChip`` came before.
    """

    def transform(self, results: dict) -> dict:
        if 'gt_keypoints' not in results:
            if 'instances' not in results:
                return results
            raise ValueError(
                f'{results.get("img_path", "the image")} has no gt_keypoints: put LoadKeypoints before MapKeypoints'
            )
        if results.get('chip_is_cropped'):
            raise ValueError('CropChip maps keypoints itself: leave out MapKeypoints')
        now = matrix_of(results)
        if np.array_equal(now, results['keypoint_matrix']):
            return results
        keypoints = results['gt_keypoints'].astype(np.float64)
        if 'gt_bboxes' in results and len(results['gt_bboxes']) != len(keypoints):
            raise ValueError(
                f'{len(keypoints)} rows of keypoints for {len(results["gt_bboxes"])} boxes: a transform before '
                'MapKeypoints left out boxes, but not their keypoints; only those that keep all boxes are possible'
            )
        matrix = now @ np.linalg.inv(results['keypoint_matrix'])
        points = np.concatenate([keypoints[..., :2], np.ones_like(keypoints[..., :1])], axis=-1) @ matrix.T
        keypoints[..., :2] = points[..., :2] / points[..., 2:]
        if np.linalg.det(matrix[:2, :2]) < 0:
            keypoints = keypoints[:, list(results['flip_indices'])]
        height, width = results['img_shape'][:2]
        results['keypoint_matrix'] = now
        # The matrices are of float32: a keypoint on the border may land a hair beyond it.
        border = (-EPSILON_PX, -EPSILON_PX, width + EPSILON_PX, height + EPSILON_PX)
        results['gt_keypoints'] = unlabel_outside(keypoints, border).astype(np.float32)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
