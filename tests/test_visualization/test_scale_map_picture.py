import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData, PixelData

from mmisn.models.scale_nets import ScaleClasses
from mmisn.visualization.scale_map import (
    IGNORED_COLOR,
    PANEL_WIDTH,
    TITLE_HEIGHT,
    class_colors,
    classes_of_relative_scales,
    draw_sample,
    paint_classes,
)


def test_colours_of_classes_over_an_image():
    image = np.full((4, 6, 3), 100, np.uint8)
    labels = np.array([[0, 1, 2], [3, 255, 0]], np.uint8)
    found = paint_classes(image, labels, 4, alpha=0.5)
    colors = class_colors(4).astype(float)
    expected = {0: image[0, 0], 255: (100 + np.array(IGNORED_COLOR)) / 2}
    expected.update({label: (100 + colors[label]) / 2 for label in (1, 2, 3)})
    # Each pixel of the map is 2x2 of the image.
    for (y, x), label in np.ndenumerate(labels):
        block = found[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
        assert (np.abs(block - expected[label]) <= 0.5).all()
    assert (image == 100).all() and len({tuple(c) for c in colors[1:]}) == 3
    # From bright to dark.
    assert (np.diff(class_colors(9)[1:].astype(float) @ [0.3, 0.6, 0.1]) < 0).all()


def test_octaves_of_relative_scale():
    """Of 96 px: 1/16 is 6 px, below which nothing is drawn; then classes that end at 12, 24, ... px."""
    relative = np.array([[0, 0.0624, 0.0626, 0.124, 0.126], [1.01, 7.9, 8.1, 100, -1]], np.float32)
    labels, classes = classes_of_relative_scales(relative, 96.0)
    assert classes.bounds == tuple(12 * 2.0**i for i in range(8))
    assert labels.tolist() == [[0, 0, 1, 1, 2], [5, 7, 8, 9, 255]]


def scale_sample(classes=True, truth=True):
    sample = DetDataSample(metainfo=dict(img_shape=(30, 40), ori_shape=(60, 80), img_path='a.jpg'))
    if truth:
        sample.gt_instances = InstanceData(bboxes=torch.tensor([[4.0, 3, 24, 23]]))
    if classes:
        maps, about = torch.zeros(3, 30, 40), dict(scale_classes=ScaleClasses((8,)), unit=None)
        maps[0] = 0.4
        maps[1, :15], maps[2, 15:] = 0.6, 0.6
    else:
        maps, about = torch.full((1, 30, 40), 0.5), dict(scale_classes=None, unit=8.0)
    sample.pred_scale_map = PixelData(metainfo=dict(measure='sqrt_box', **about), maps=maps)
    return sample


def panel(picture, index, number):
    """A panel's pixels, its first and last rows and columns left out."""
    height = round(PANEL_WIDTH * 60 / 80)
    assert picture.shape[1] == number * PANEL_WIDTH
    columns = slice(index * PANEL_WIDTH + 4, (index + 1) * PANEL_WIDTH - 4)
    return picture[TITLE_HEIGHT + 4 : TITLE_HEIGHT + height - 4, columns].astype(int)


def test_image_truth_and_prediction_side_by_side():
    image = np.zeros((60, 80, 3), np.uint8)
    picture = draw_sample(image, scale_sample())
    colors = np.round(0.6 * class_colors(3)[1:]).astype(int)
    assert not panel(picture, 0, 3).any()
    # 20x20 of 40x30 px are of class 2 in truth; half of the rows are of class 1 in the prediction.
    truth, prediction = panel(picture, 1, 3), panel(picture, 2, 3)
    share = (np.abs(truth - colors[1]).max(axis=-1) <= 2).mean()
    assert share == pytest.approx(400 / 1200, abs=0.01)
    assert (truth.max(axis=-1) == 0).mean() == pytest.approx(800 / 1200, abs=0.01)
    for label in (0, 1):
        rows = (np.abs(prediction - colors[label]).max(axis=-1) <= 2).mean(axis=1)
        assert rows[:200].mean() == (label == 0) and rows[-200:].mean() == (label == 1)
    # A legend stands below, on white.
    legend = picture[TITLE_HEIGHT + round(PANEL_WIDTH * 60 / 80) :]
    assert (legend == 255).all(axis=-1).mean() > 0.8 and (legend < 100).any()


@pytest.mark.parametrize('options, panels', [({}, 3), (dict(draw_gt=False), 2), (dict(draw_pred=False), 2)])
def test_panels_that_are_asked_for(options, panels):
    image = np.zeros((60, 80, 3), np.uint8)
    assert draw_sample(image, scale_sample(classes=False), **options).shape[1] == panels * PANEL_WIDTH
    assert draw_sample(image, scale_sample(truth=False), draw_pred=options.get('draw_pred', True)).shape[1] == (
        PANEL_WIDTH * (1 + options.get('draw_pred', True))
    )


def test_visualizer_writes_what_is_drawn(tmp_path):
    visualizer = VISUALIZERS.build(dict(type='ScaleMapVisualizer', name='scale-map-test'))
    visualizer.dataset_meta = dict(classes=('a',))
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    visualizer.add_datasample('a', image, scale_sample(), out_file=str(tmp_path / 'new' / 'a.png'))
    written = cv2.imread(str(tmp_path / 'new' / 'a.png'))
    np.testing.assert_array_equal(written[..., ::-1], draw_sample(image, scale_sample()))
    # A detector's sample is drawn as usual.
    plain = DetDataSample(pred_instances=InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=[]))
    visualizer.add_datasample('a', image, plain, draw_gt=False, out_file=str(tmp_path / 'b.png'))
    np.testing.assert_array_equal(cv2.imread(str(tmp_path / 'b.png'))[..., ::-1], image)
