"""An image with its detections, enlarged where it is small."""

import math
from collections.abc import Sequence
from pathlib import Path

import mmcv
import numpy as np
from mmdet.structures import DetDataSample
from mmdet.visualization import DetLocalVisualizer

from .window_visualizer import draw_windows

# A drawn picture's longer side, at least; smaller ones are multiplied by a whole number.
MIN_DRAWN_SIDE = 600


def draw_picture(
    visualizer: DetLocalVisualizer,
    pixels: np.ndarray,
    sample: DetDataSample,
    score_thr: float,
    target: Path,
    windows: bool = False,
) -> None:
    """Draw the detections with a higher score; small pictures are enlarged, or their labels would cover them.

    Args:
        visualizer: Its ``dataset_meta`` is set; a ``KeypointVisualizer`` draws keypoints and limbs, too.
        pixels: (H, W, 3) uint8 BGR.
        sample: Has ``pred_instances`` in pixels of the image; it is not changed.
        score_thr: Detections with a score up to it are left out.
        target: The file to write.
        windows: Whether to draw the borders of the sample's windows, too, see ``draw_windows``.
    """
    zoom = math.ceil(MIN_DRAWN_SIDE / max(pixels.shape[:2]))
    found = sample.pred_instances[sample.pred_instances.scores > score_thr].cpu()
    found.bboxes = found.bboxes * zoom
    if 'masks' in found:
        found.masks = found.masks.repeat_interleave(zoom, dim=1).repeat_interleave(zoom, dim=2)
    if 'keypoints' in found:
        found.keypoints = found.keypoints * zoom
    drawn = DetDataSample(pred_instances=found)
    image = mmcv.imrescale(pixels, zoom, interpolation='bicubic')[..., ::-1] if zoom > 1 else pixels[..., ::-1]
    if windows:
        image_wh = (pixels.shape[1], pixels.shape[0])
        image = draw_windows(image, sample.chips, image_wh, sample.get('chips_are_windows'))
    visualizer.add_datasample(target.name, image, drawn, draw_gt=False, pred_score_thr=score_thr, out_file=str(target))


def put_side_by_side(pictures: Sequence[Path], target: Path, gap: int = 12) -> None:
    """Write pictures of equal size beside each other, from left to right, with white between them.

    Args:
        pictures: Files.
        target: File to write; it may be one of them.
        gap: Pixels between two pictures.
    """
    images = [mmcv.imread(str(path)) for path in pictures]
    white = np.full((len(images[0]), gap, 3), 255, np.uint8)
    parts = [part for image in images for part in (image, white)][:-1]
    mmcv.imwrite(np.concatenate(parts, axis=1), str(target))
