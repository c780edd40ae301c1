import numpy as np
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from mmisn.evaluation.coco_results import coco_results, keypoint_triples


def test_triples_take_the_offset_off_places_alone():
    keypoints, scores = np.array([[[3.5, 4.5], [0.5, 1.0]]]), np.array([[0.75, 0.25]])
    assert keypoint_triples(keypoints, scores) == [[3.5, 4.5, 0.75, 0.5, 1.0, 0.25]]
    assert keypoint_triples(keypoints, scores, 0.5) == [[3.0, 4.0, 0.75, 0.0, 0.5, 0.25]]


def test_keypoints_of_the_last_class_without_those_of_a_class_without_id():
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[1.0, 2.0, 4.0, 8.0], [0.0, 0.0, 2.0, 2.0]]),
        scores=torch.tensor([0.5, 0.25]),
        labels=torch.tensor([1, 0]),
        keypoints=torch.tensor([[[2.5, 3.5]], [[1.5, 1.5]]]),
        keypoint_scores=torch.tensor([[0.5], [1.0]]),
    )
    found, left_out = coco_results(sample, 7, [None, 3], keypoint_offset=0.5)
    assert left_out == 1
    common = dict(image_id=7, category_id=3, score=0.5)
    assert found == dict(bbox=[dict(common, bbox=[1, 2, 3, 6])], keypoints=[dict(common, keypoints=[2.0, 3.0, 0.5])])


def test_keypoints_of_classes_that_have_none_are_left_out():
    """Their score is -1, as ``KeypointRoIHead`` gives it; the boxes stay."""
    assert keypoint_triples(np.ones((2, 1, 2)), np.array([[-1.0], [0.0]])) == [None, [1.0, 1.0, 0.0]]
    sample = DetDataSample()
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[0.0, 0.0, 4.0, 8.0], [0.0, 0.0, 2.0, 2.0]]),
        scores=torch.tensor([0.5, 0.25]),
        labels=torch.tensor([0, 1]),
        keypoints=torch.tensor([[[2.0, 4.0]], [[1.5, 1.5]]]),
        keypoint_scores=torch.tensor([[-1.0], [0.5]]),
    )
    found, left_out = coco_results(sample, 7, [4, 3])
    assert left_out == 0
    assert [r['category_id'] for r in found['bbox']] == [4, 3]
    assert found['keypoints'] == [dict(image_id=7, category_id=3, score=0.25, keypoints=[1.5, 1.5, 0.5])]
