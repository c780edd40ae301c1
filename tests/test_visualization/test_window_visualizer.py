"""Windows drawn on a picture, by the function and through the visualizer."""

import numpy as np
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmisn.structures import Chip
from mmisn.visualization import WindowVisualizer, draw_windows

GREY = np.full((200, 300, 3), 90, np.uint8)


def painted(before, after):
    """(h, w) pixels that changed."""
    return (before != after).any(axis=-1)


def test_borders_of_windows_and_nothing_of_the_whole_image():
    whole = Chip.full((150, 100), (300, 200))
    assert not painted(GREY, draw_windows(GREY, [whole, whole.flipped()], (150, 100))).any()
    drawn = draw_windows(GREY, [whole, Chip((20, 10, 70, 60), (100, 100))], (150, 100))
    changed = painted(GREY, drawn)
    # The picture is twice the image: 40..140, 20..120.
    assert changed[20:120, 40].all() and changed[20:120, 139].all()
    assert changed[20, 40:140].all() and changed[119, 40:140].all()
    assert (
        not changed[:19].any() and not changed[122:].any() and not changed[:, :39].any() and not changed[:, 142:].any()
    )
    assert changed[40:100, 60:120].mean() < 0.5
    assert (GREY == 90).all()


def test_a_window_that_is_the_whole_image_is_drawn():
    """Of an image smaller than a window, which is looked at again at twice the size."""
    whole, window = Chip.full((150, 100)), Chip.full((150, 100), (300, 200))
    changed = painted(GREY, draw_windows(GREY, [whole, window], (150, 100), [False, True]))
    assert changed[0].all() and changed[-1].all() and changed[:, 0].all() and changed[:, -1].all()
    assert not changed[40:160, 60:].any(axis=0)[:-3].any()
    # A pyramid's whole images are no windows.
    assert not painted(GREY, draw_windows(GREY, [whole, window], (150, 100), [False, False])).any()
    assert not painted(GREY, draw_windows(GREY, [whole, window], (150, 100))).any()


def test_factors_have_colours_of_their_own():
    chips = [Chip((0, 0, 40, 40), (80, 80)), Chip((60, 0, 100, 40), (160, 160)), Chip((0, 50, 41, 91), (82, 82))]
    drawn = draw_windows(GREY, chips, (300, 200))
    first, second, third = drawn[0, 20], drawn[0, 80], drawn[50, 20]
    assert (first == third).all() and (first != second).any()


def test_window_at_the_corner_is_drawn_inside():
    changed = painted(GREY, draw_windows(GREY, [Chip((250, 150, 300, 200), (100, 100))], (300, 200)))
    assert changed[150:200, 299].all() and changed[199, 250:300].all()


def result(chips, windows=None):
    found = InstanceData(bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long))
    sample = DetDataSample(metainfo=dict(ori_shape=(200, 300), img_shape=(200, 300)), pred_instances=found)
    if chips is not None:
        sample.set_metainfo(dict(chips=chips))
    if windows is not None:
        sample.set_metainfo(dict(chips_are_windows=windows))
    return sample


def test_visualizer_draws_windows_under_the_detections(tmp_path):
    visualizer = VISUALIZERS.build(dict(type='WindowVisualizer', name='windows_of_test'))
    assert isinstance(visualizer, WindowVisualizer)
    visualizer.dataset_meta = dict(classes=('a',), palette=[(255, 0, 0)])
    chips = [Chip((20, 10, 70, 60), (100, 100))]
    pictures = []
    for sample in (result(chips), result([]), result(None), None):
        visualizer.add_datasample('x', GREY, sample, draw_gt=False)
        pictures.append(visualizer.get_image().copy())
    np.testing.assert_array_equal(pictures[0], draw_windows(GREY, chips, (300, 200)))
    for picture in pictures[1:]:
        np.testing.assert_array_equal(picture, GREY)
    chips, windows = [Chip.full((300, 200)), Chip.full((300, 200), (600, 400))], [False, True]
    visualizer.add_datasample('x', GREY, result(chips, windows), draw_gt=False)
    assert painted(GREY, visualizer.get_image())[:, 0].all()
