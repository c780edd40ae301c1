"""Scale maps over their image, with a legend."""

from collections.abc import Sequence
from typing import Any

import cv2
import matplotlib
import mmcv
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmdet.registry import VISUALIZERS
from mmdet.visualization import DetLocalVisualizer
from mmengine.dist import master_only

from mmisn.models.scale_nets import (
    BACKGROUND,
    IGNORED,
    IGNORED_SCALE,
    ImageObjects,
    ScaleClasses,
    class_map,
    octave_bounds,
    relative_scale_map,
)

IGNORED_COLOR = (128, 128, 128)
ALPHA = 0.6
PANEL_WIDTH = 640  # pixels
LEGEND_LINE = 26
TITLE_HEIGHT = 24
LEGEND_COLUMNS = 5
# A relative scale below this is drawn as background; the classes of a relative scale are octaves from there.
DRAWN_FROM = 1 / 16
OCTAVES_DRAWN = 7


def class_colors(num_classes: int) -> np.ndarray:
    """(num_classes, 3) uint8 RGB, bright for small objects, dark for large ones, none for background."""
    shades = matplotlib.colormaps['plasma'](np.linspace(0.97, 0.05, num_classes - 1))[:, :3]
    return np.concatenate([np.zeros((1, 3)), 255 * shades]).round().astype(np.uint8)


def paint_classes(image_rgb: np.ndarray, labels: np.ndarray, num_classes: int, alpha: float = ALPHA) -> np.ndarray:
    """Lay the colours of classes over an image.

    Args:
        image_rgb: (H, W, 3) uint8.
        labels: (h, w) uint8 classes of the same picture at any size: 0 is left as it is, ``IGNORED`` becomes grey.
        num_classes: Number of classes, background included.
        alpha: Opacity of the colours.

    Returns:
        (H, W, 3) uint8.
    """
    height, width = image_rgb.shape[:2]
    if labels.shape != (height, width):
        labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    table = np.zeros((256, 3), np.uint8)
    table[:num_classes] = class_colors(num_classes)
    table[IGNORED] = IGNORED_COLOR
    painted = image_rgb.copy()
    shown = labels != BACKGROUND
    painted[shown] = ((1 - alpha) * image_rgb[shown] + alpha * table[labels[shown]]).round().astype(np.uint8)
    return painted


def classes_of_relative_scales(relative: np.ndarray, unit: float) -> tuple[np.ndarray, ScaleClasses]:
    """Octaves of relative scale, to be drawn as classes.

    Args:
        relative: (h, w) relative scales, 0 is background, ``IGNORED_SCALE`` ignored.
        unit: Pixels that are 1.

    Returns:
        (h, w) uint8 classes, and the classes, whose bounds are pixels.
    """
    classes = ScaleClasses(octave_bounds(2 * DRAWN_FROM * unit, 2 * DRAWN_FROM * unit * 2**OCTAVES_DRAWN))
    labels = np.zeros(relative.shape, np.uint8)
    shown = relative >= DRAWN_FROM
    labels[shown] = classes.classes_of(relative[shown].astype(np.float64) * unit)
    labels[relative == IGNORED_SCALE] = IGNORED
    return labels, classes


def draw_scale_maps(
    image_rgb: np.ndarray, panels: Sequence[tuple[str, np.ndarray]], class_names: Sequence[str], legend_title: str = ''
) -> np.ndarray:
    """The image, and beside it maps of classes over it in grey, with a legend below.

    Args:
        image_rgb: (H, W, 3) uint8.
        panels: Titles and (h, w) maps of classes, see ``paint_classes``.
        class_names: Names of the classes, background first.
        legend_title: What the names mean.

    Returns:
        (h', w', 3) uint8 RGB picture.
    """
    # In grey, so that all colour is the map's.
    grey = np.repeat(cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    painted = [('image', image_rgb), *((t, paint_classes(grey, m, len(class_names))) for t, m in panels)]
    colors = class_colors(len(class_names))[1:] / 255
    entries = [Patch(color=c, label=n) for c, n in zip(colors, class_names[1:])]
    if any((labels == IGNORED).any() for _, labels in panels):
        entries.append(Patch(color=np.array(IGNORED_COLOR) / 255, label='ignored'))
    zoom = PANEL_WIDTH / image_rgb.shape[1]
    panel_height = max(1, round(zoom * image_rgb.shape[0]))
    columns = LEGEND_COLUMNS * len(painted)
    legend_height = LEGEND_LINE * (2 + -(-len(entries) // columns))
    width, height = PANEL_WIDTH * len(painted), TITLE_HEIGHT + panel_height + legend_height
    figure = Figure(figsize=(width / 100, height / 100), dpi=100, facecolor='white')
    canvas = FigureCanvasAgg(figure)
    for index, (title, picture) in enumerate(painted):
        rect = (index / len(painted), legend_height / height, 1 / len(painted), panel_height / height)
        axes = figure.add_axes(rect)
        axes.imshow(picture, aspect='auto', interpolation='nearest' if zoom > 1 else 'antialiased')
        axes.set_axis_off()
        axes.set_title(title, fontsize=11, pad=4)
    figure.legend(
        handles=entries, loc='lower center', ncols=min(columns, len(entries)), title=legend_title, frameon=False
    )
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


@VISUALIZERS.register_module()
class ScaleMapVisualizer(DetLocalVisualizer):
    """Draw the scale map of a data sample over the image, beside the true one; for ``mim test --show-dir``.

    The truth is drawn where the sample has ground truth, in the frame of the image as the network sees it. Samples
    without ``pred_scale_map`` are drawn as ``DetLocalVisualizer`` does it.
    """

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray,
        data_sample: Any = None,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        out_file: str | None = None,
        pred_score_thr: float = 0.3,
        step: int = 0,
    ) -> None:
        """Draw a data sample; see ``DetLocalVisualizer``.

        Args:
            name: Name of the picture.
            image: (H, W, 3) RGB image, of any size.
            data_sample: ``DetDataSample`` with ``pred_scale_map``, see ``ScaleNet.predict``.
            draw_gt: Whether to draw the truth.
            draw_pred: Whether to draw the prediction.
            show: Show a window.
            wait_time: Seconds that it stays.
            out_file: File to write.
            pred_score_thr: Of ``DetLocalVisualizer``; scale maps have none.
            step: Of the backends.
        """
        if data_sample is None or 'pred_scale_map' not in data_sample:
            super().add_datasample(
                name, image, data_sample, draw_gt, draw_pred, show, wait_time, out_file, pred_score_thr, step
            )
            return
        drawn = draw_sample(image.clip(0, 255).astype(np.uint8), data_sample.cpu(), draw_gt, draw_pred)
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is not None:
            mmcv.imwrite(drawn[..., ::-1], str(out_file))
        elif not show:
            self.add_image(name, drawn, step)


def draw_sample(image_rgb: np.ndarray, sample: Any, draw_gt: bool = True, draw_pred: bool = True) -> np.ndarray:
    """Picture of a data sample with ``pred_scale_map``; see ``ScaleMapVisualizer``.

    Args:
        image_rgb: (H, W, 3) uint8.
        sample: The data sample, on the CPU.
        draw_gt: Whether to draw the truth, if there is any.
        draw_pred: Whether to draw the prediction.

    Returns:
        (h', w', 3) uint8 RGB picture.
    """
    predicted = sample.pred_scale_map
    classes, maps = predicted.scale_classes, predicted.maps.numpy()
    panels = []
    if draw_gt and 'bboxes' in (sample.get('gt_instances') or ()):
        objects = ImageObjects(sample, predicted.measure)
        if classes is None:
            truth = relative_scale_map(objects.map, objects.scales, predicted.measure, predicted.unit)
            panels.append(('truth', classes_of_relative_scales(truth, predicted.unit)[0]))
        else:
            panels.append(('truth', class_map(objects.map, objects.scales, classes)))
    if classes is None:
        labels, classes = classes_of_relative_scales(maps[0], predicted.unit)
    else:
        labels = maps.argmax(axis=0).astype(np.uint8)
    if draw_pred:
        panels.append(('prediction', labels))
    what = 'sqrt(w h)' if predicted.measure == 'sqrt_box' else 'sqrt(mask area)'
    height, width = sample.img_shape[:2]
    return draw_scale_maps(image_rgb, panels, classes.names, f'{what} in px of the image at {width}x{height}')
