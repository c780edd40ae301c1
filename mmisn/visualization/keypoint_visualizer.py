"""Detections with their keypoints and the limbs between them, on a picture."""

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.structures import InstanceData

# Matplotlib's tab10, without its grey: limbs of one object differ in colour, and so do left and right.
LIMB_COLORS = (
    (31, 119, 180),
    (255, 127, 14),
    (44, 160, 44),
    (214, 39, 40),
    (148, 103, 189),
    (140, 86, 75),
    (227, 119, 194),
    (188, 189, 34),
    (23, 190, 207),
)

KEYPOINT_SCORE_THR = 0.2


def drawn_parts(
    keypoints: np.ndarray, shown: np.ndarray, links: Sequence[Sequence[int]]
) -> tuple[np.ndarray, np.ndarray]:
    """The points and limbs to draw for one object.

    Args:
        keypoints: (K, 2) x, y.
        shown: (K,) bool.
        links: Pairs of indices of keypoints.

    Returns:
        points: (P,) indices of the keypoints that are shown and finite.
        limbs: (L,) indices of the links of which both ends are.

    Raises:
        ValueError: If a link is no pair of indices of keypoints.
    """
    num = len(keypoints)
    for link in links:
        if len(link) != 2 or not all(0 <= index < num for index in link):
            raise ValueError(f'skeleton_links must be pairs of indices of {num} keypoints, got {list(link)}')
    drawn = shown & np.isfinite(keypoints).all(axis=-1)
    limbs = [i for i, (a, b) in enumerate(links) if drawn[a] and drawn[b]]
    return np.flatnonzero(drawn), np.array(limbs, dtype=np.int64)


@VISUALIZERS.register_module()
class KeypointVisualizer(DetLocalVisualizer):
    """``DetLocalVisualizer`` that also draws keypoints and skeletons.

    Ground truth needs ``keypoints`` and ``keypoints_visible`` in ``gt_instances`` and shows what is labelled;
    predictions need ``keypoints`` and ``keypoint_scores`` in ``pred_instances``. Limbs are ``skeleton_links`` of
    ``dataset_meta``, pairs of indices; without them only points are drawn. Instances without keypoints are drawn as
    without this class.

    Args:
        name: Name of the instance.
        *args: Further arguments of ``DetLocalVisualizer``.
        keypoint_score_thr: Predicted keypoints with a lower score are not drawn, nor are their limbs; keypoints with a
            negative score, those of detections whose class has none, never are. The default suits
            ``OffsetKeypointHead``. The score of ``KeypointRCNNHead`` is the probability of one cell of its map and much
            smaller: 0.05 there.
        keypoint_radius: Radius of the points in pixels.
        limb_width: Width of the limbs in pixels.
        **kwargs: Arguments of ``DetLocalVisualizer``.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        name: str = 'visualizer',
        *args: Any,
        keypoint_score_thr: float = KEYPOINT_SCORE_THR,
        keypoint_radius: float = 3.0,
        limb_width: float = 2.0,
        **kwargs: Any,
    ) -> None:
        for option, value in dict(keypoint_radius=keypoint_radius, limb_width=limb_width).items():
            if not value > 0:
                raise ValueError(f'{option} must be positive, got {value!r}')
        super().__init__(name, *args, **kwargs)
        self.keypoint_score_thr = keypoint_score_thr
        self.keypoint_radius = keypoint_radius
        self.limb_width = limb_width

    def set_image(self, image: np.ndarray) -> None:
        """Set the (H, W, 3) RGB image to draw on."""
        super().set_image(image)
        # From 3.11 on Matplotlib would shrink the picture to make room for what lies beyond its border.
        self.ax_save.autoscale(False)

    def _draw_instances(
        self, image: np.ndarray, instances: InstanceData, classes: list[str] | None, palette: list[tuple] | None
    ) -> np.ndarray:
        """Boxes and masks, then keypoints on top."""
        drawn = super()._draw_instances(image, instances, classes, palette)
        if 'keypoints' not in instances or len(instances) == 0:
            return drawn
        keypoints = torch.as_tensor(instances.keypoints).detach().float().numpy()
        links = self.dataset_meta.get('skeleton_links') or []
        parts = [drawn_parts(k, s, links) for k, s in zip(keypoints, self._shown(instances, keypoints.shape[:2]))]
        self.set_image(drawn)
        with warnings.catch_warnings():
            # A hand at the border of the image is nothing to warn of.
            warnings.filterwarnings('ignore', message='.*out of bounds')
            for object_keypoints, (_, limbs) in zip(keypoints, parts):
                self._draw_limbs(object_keypoints, limbs, links)
            # Matplotlib puts lines above circles, whatever is drawn first.
            self.set_image(self.get_image())
            for object_keypoints, (points, _) in zip(keypoints, parts):
                self._draw_points(object_keypoints[points])
        return self.get_image()

    def _shown(self, instances: InstanceData, shape: tuple[int, int]) -> np.ndarray:
        if 'keypoint_scores' in instances:
            scores = torch.as_tensor(instances.keypoint_scores).detach().numpy()
            # Classes without keypoints have negative scores.
            return (scores >= self.keypoint_score_thr) & (scores >= 0)
        if 'keypoints_visible' in instances:
            return torch.as_tensor(instances.keypoints_visible).numpy() > 0
        return np.ones(shape, bool)

    def _draw_limbs(self, keypoints: np.ndarray, limbs: np.ndarray, links: Sequence[Sequence[int]]) -> None:
        if len(limbs):
            ends = keypoints[np.array([links[i] for i in limbs])]
            colors = [LIMB_COLORS[i % len(LIMB_COLORS)] for i in limbs]
            self.draw_lines(ends[..., 0], ends[..., 1], colors=colors, line_widths=self.limb_width)

    def _draw_points(self, points: np.ndarray) -> None:
        if len(points):
            radii = np.full(len(points), self.keypoint_radius)
            self.draw_circles(points, radii, edge_colors='k', line_widths=1, face_colors='w', alpha=1.0)
