"""Pixels of drawn keypoints and limbs."""

import warnings

import numpy as np
import pytest
import torch
from mmdet.registry import VISUALIZERS
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

import mmisn  # noqa: F401
from mmisn.visualization.keypoint_visualizer import LIMB_COLORS, drawn_parts

GREY = 90
# Three keypoints of one object: limbs from the first to the others.
POINTS = [[30.5, 30.5], [30.5, 90.5], [90.5, 30.5]]
LINKS = [[0, 1], [0, 2]]


def draw(
    tmp_path,
    scores=(0.9, 0.9, 0.9),
    links=LINKS,
    ground_truth=False,
    points=POINTS,
    kind='KeypointVisualizer',
    threshold=0.5,
):
    extra = dict(keypoint_score_thr=threshold) if kind == 'KeypointVisualizer' else {}
    visualizer = VISUALIZERS.build(dict(type=kind, name=f'{kind}-{tmp_path.name}', **extra))
    visualizer.dataset_meta = dict(classes=('person',), skeleton_links=links)
    # The box is far from everything that is looked at.
    instances = InstanceData(
        bboxes=torch.tensor([[100.0, 100.0, 118.0, 118.0]]),
        labels=torch.zeros(1, dtype=torch.long),
        keypoints=torch.tensor([points]),
    )
    sample = DetDataSample()
    if ground_truth:
        instances.keypoints_visible = torch.tensor([scores]).to(torch.uint8)
        sample.gt_instances = instances
    else:
        instances.scores, instances.keypoint_scores = torch.tensor([0.8]), torch.tensor([scores])
        sample.pred_instances = instances
    visualizer.add_datasample(
        'x', np.full((120, 120, 3), GREY, np.uint8), sample, draw_gt=ground_truth, draw_pred=not ground_truth
    )
    image = visualizer.get_image()
    visualizer.close()
    return image


def looks(image, xy, color):
    x, y = (int(v) for v in xy)
    return np.abs(image[y, x].astype(int) - np.array(color)).max() < 40


def test_points_and_limbs(tmp_path):
    image = draw(tmp_path)
    assert all(looks(image, xy, (255, 255, 255)) for xy in POINTS)
    assert looks(image, (30, 60), LIMB_COLORS[0]) and looks(image, (60, 30), LIMB_COLORS[1])
    assert looks(image, (60, 60), (GREY,) * 3)


@pytest.mark.parametrize('ground_truth, scores', [(False, (0.9, 0.2, 0.6)), (True, (2, 0, 1))])
def test_what_is_not_shown_has_no_limbs(tmp_path, ground_truth, scores):
    """A score below the threshold; ground truth that is not labelled."""
    image = draw(tmp_path, scores, ground_truth=ground_truth)
    assert looks(image, POINTS[0], (255,) * 3) and looks(image, POINTS[2], (255,) * 3)
    assert looks(image, (60, 30), LIMB_COLORS[1])
    assert looks(image, POINTS[1], (GREY,) * 3) and looks(image, (30, 60), (GREY,) * 3)


@pytest.mark.parametrize('links', [None, []])
def test_without_a_skeleton_points_only(tmp_path, links):
    image = draw(tmp_path, links=links)
    assert all(looks(image, xy, (255,) * 3) for xy in POINTS)
    assert looks(image, (30, 60), (GREY,) * 3) and looks(image, (60, 30), (GREY,) * 3)


def test_nothing_to_show_is_the_picture_of_the_parent(tmp_path):
    image = draw(tmp_path, scores=(0.1, 0.1, 0.1))
    assert (image == draw(tmp_path, kind='DetLocalVisualizer')).all()


@pytest.mark.parametrize('threshold', [0.2, 0.0, -2.0])
def test_a_class_without_keypoints_is_the_picture_of_the_parent(tmp_path, threshold):
    """Its keypoints have the score -1, below any threshold."""
    image = draw(tmp_path, scores=(-1.0, -1.0, -1.0), threshold=threshold)
    assert (image == draw(tmp_path, kind='DetLocalVisualizer')).all()


def test_points_outside_the_image_are_no_reason_to_warn(tmp_path):
    points = [[-5.0, 30.0], [30.0, 150.0], [float('nan'), 30.0]]
    with warnings.catch_warnings():
        warnings.simplefilter('error', UserWarning)
        draw(tmp_path, points=points)


def test_points_outside_the_image_leave_the_picture_in_place(tmp_path):
    image = draw(tmp_path, points=[[30.5, 30.5], [30.5, 150.0], [-60.0, 30.5]])
    # The picture is there up to its border, the limbs end at it.
    assert all(looks(image, xy, (GREY,) * 3) for xy in ((1, 1), (118, 1), (1, 90)))
    assert looks(image, (30, 30), (255,) * 3)
    assert looks(image, (30, 117), LIMB_COLORS[0]) and looks(image, (2, 30), LIMB_COLORS[1])


def test_parts_by_hand():
    keypoints = np.array([[0, 0], [1, 1], [np.nan, 2], [3, 3]])
    points, limbs = drawn_parts(keypoints, np.array([True, True, True, False]), [(0, 3), (1, 0), (0, 2)])
    assert points.tolist() == [0, 1] and limbs.tolist() == [1]
    with pytest.raises(ValueError, match=r'pairs of indices of 4 keypoints, got \[0, 4\]'):
        drawn_parts(keypoints, np.ones(4, bool), [(0, 4)])


@pytest.mark.parametrize('changes', [dict(keypoint_radius=0), dict(limb_width=-1)])
def test_wrong_sizes_are_refused(changes):
    with pytest.raises(ValueError, match='must be positive'):
        VISUALIZERS.build(dict(type='KeypointVisualizer', name=str(changes), **changes))


def test_it_has_the_name_that_it_is_given():
    cfg = dict(type='KeypointVisualizer', name='one_of_two')
    assert VISUALIZERS.build(cfg).instance_name == 'one_of_two'
