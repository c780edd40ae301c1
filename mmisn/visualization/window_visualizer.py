"""The windows that a ``ChipDetector`` has looked into, drawn under its detections."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample

from mmisn.structures import Chip

from .keypoint_visualizer import KeypointVisualizer

# RGB, from the smallest factor to the largest: Okabe and Ito's colours, which the colour-blind can tell apart.
_COLORS = ((86, 180, 233), (0, 158, 115), (240, 228, 66), (230, 159, 0), (213, 94, 0), (204, 121, 167))


def draw_windows(
    image_rgb: np.ndarray,
    chips: Sequence[Chip],
    image_wh: tuple[int, int],
    are_windows: Sequence[bool] | None = None,
) -> np.ndarray:
    """Draw the borders of windows, coloured and labelled by their factor.

    Args:
        image_rgb: (h, w, 3) uint8 picture of the whole image, at any size.
        chips: Views of the image.
        image_wh: Width and height of the image in original pixels.
        are_windows: For each view whether it is drawn, as ``ChipDetector`` tells of its ``chips``; a window may be the
            whole image at another size. By default all are but views of the whole image.

    Returns:
        A picture of the same size; the given one is not changed.
    """
    drawn = np.ascontiguousarray(image_rgb).copy()
    height, width = drawn.shape[:2]
    whole = Chip.full(image_wh, (width, height))
    if are_windows is None:
        are_windows = [c.xyxy != whole.xyxy for c in chips]
    windows = [c for c, is_window in zip(chips, are_windows) if is_window]
    names = {c: f'x{float(f"{c.factor:.2g}"):g}' for c in windows}
    colors = {
        n: _COLORS[i % len(_COLORS)] for i, n in enumerate(sorted(set(names.values()), key=lambda n: float(n[1:])))
    }
    thickness = max(1, round(max(width, height) / 500))
    size = max(width, height) / 1600
    # Large ones first, so that those inside them stay visible.
    for chip in sorted(windows, key=lambda c: -c.wh[0] * c.wh[1]):
        x1, y1, x2, y2 = whole.boxes_to_view(np.array([chip.xyxy], np.float64))[0].round().astype(int).tolist()
        color = colors[names[chip]]
        cv2.rectangle(drawn, (x1, y1), (min(x2, width) - 1, min(y2, height) - 1), color, thickness)
        place = (x1 + 3 * thickness, min(y2, height) - 4 * thickness)
        for shade, weight in (((0, 0, 0), 3 * thickness), (color, thickness)):
            cv2.putText(drawn, names[chip], place, cv2.FONT_HERSHEY_SIMPLEX, size, shade, weight, cv2.LINE_AA)
    return drawn


@VISUALIZERS.register_module()
class WindowVisualizer(KeypointVisualizer):
    """``KeypointVisualizer`` that draws the ``chips`` of a ``ChipDetector``'s results under the detections.

    It works for ``DetInferencer`` and for ``mim test --show-dir``. Takes the arguments of ``KeypointVisualizer``.
    """

    def add_datasample(
        self, name: str, image: np.ndarray, data_sample: DetDataSample | None = None, *args: Any, **kwargs: Any
    ) -> None:
        """Draw windows, then what the base class draws.

        Args:
            name: Of the picture.
            image: (H, W, 3) uint8 RGB.
            data_sample: Result of a ``ChipDetector``; others are drawn without windows.
            *args: Further arguments of ``DetLocalVisualizer.add_datasample``.
            **kwargs: The same.
        """
        chips = () if data_sample is None else data_sample.get('chips', ())
        if len(chips):
            height, width = data_sample.ori_shape[:2]
            image = draw_windows(image, chips, (width, height), data_sample.get('chips_are_windows'))
        super().add_datasample(name, image, data_sample, *args, **kwargs)
