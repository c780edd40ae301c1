"""Keypoints beside boxes and masks: which proposals are trained on, what is predicted, and that boxes do not change."""

import copy

import pytest
import torch
from keypoint_detectors import instances, keypoint_cfg, sample
from mmdet.models.roi_heads import StandardRoIHead
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.structures import InstanceData

from mmisn.models.roi_heads import KeypointRoIHead
from mmisn.models.roi_heads.keypoint_sharing import representatives
from mmisn.testing.detectors import build_tiny_detector

KINDS = ('offset', 'one-hot')
BOX, POINTS = [20.0, 30.0, 80.0, 110.0], [[30.0, 40.0], [50.0, 70.0], [75.0, 105.0]]
OTHER, OTHER_POINTS = [85.0, 10.0, 125.0, 60.0], [[90.0, 20.0], [100.0, 30.0], [120.0, 55.0]]


def features(batch=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(batch, 16, 128 // s, 128 // s, generator=generator) for s in (4, 8, 16, 32, 64))


def roi_head(kind, **kwargs):
    return build_tiny_detector(keypoint_cfg(kind, **kwargs)).roi_head


def proposals(*boxes):
    return InstanceData(bboxes=torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), scores=torch.ones(len(boxes)))


def trained_boxes(head, monkeypatch):
    """Record what the keypoint head's loss gets."""
    calls = []
    loss = head.keypoint_head.loss
    monkeypatch.setattr(
        head.keypoint_head, 'loss', lambda p, *targets: calls.append([t.tolist() for t in targets]) or loss(p, *targets)
    )
    return calls


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('masks', [False, True])
def test_losses_of_a_batch(kind, masks):
    """Two images, the second without objects; all weights of the keypoint head are trained."""
    head = roi_head(kind, masks=masks)
    samples = [sample([BOX, OTHER], [POINTS, OTHER_POINTS], [[2, 1, 2], [0, 2, 2]]), sample([], [], [])]
    losses = head.loss(features(), [proposals(BOX), proposals(BOX)], samples)
    expected = {'loss_cls', 'loss_bbox', 'acc'} | ({'loss_mask'} if masks else set())
    names = {'offset': {'loss_keypoint_vicinity', 'loss_keypoint_offset'}, 'one-hot': {'loss_keypoint'}}[kind]
    assert set(losses) == expected | names
    sum(losses[name] for name in names).backward()
    for name, weight in head.keypoint_head.named_parameters():
        assert weight.grad.any(), name


@pytest.mark.parametrize('kind', KINDS)
def test_without_objects_all_weights_stay_in_the_graph(kind):
    head = roi_head(kind)
    losses = head.loss(features(1), [proposals(BOX)], [sample([], [], [])])
    keypoint_losses = [value for name, value in losses.items() if 'keypoint' in name]
    sum(keypoint_losses).backward()
    assert keypoint_losses and not any(keypoint_losses)
    assert all(weight.grad is not None for weight in head.keypoint_head.parameters())


def test_which_proposals_are_trained_on(monkeypatch):
    """Positives with at least one labelled keypoint inside; each with the keypoints of its own object."""
    head = roi_head('offset')
    calls = trained_boxes(head, monkeypatch)
    narrow = [20.0, 30.0, 80.0, 75.0]  # IoU 0.56 with the object, whose last keypoint it does not hold
    empty = [85.0, 60.0, 125.0, 110.0]  # an object without a labelled keypoint
    samples = [
        sample([OTHER, BOX], [OTHER_POINTS, POINTS], [[2, 2, 2], [0, 0, 2]]),
        sample([empty, BOX], [[[0, 0]] * 3, POINTS], [[0, 0, 0], [2, 2, 2]]),
    ]
    far = [0.0, 0.0, 15.0, 15.0]
    losses = head.loss(features(), [proposals(narrow, far), proposals(empty, narrow)], samples)
    assert losses['loss_keypoint_vicinity'] > 0
    ((rois, keypoints, visible),) = calls
    found = sorted(zip(rois, keypoints, visible))
    assert found == sorted(
        [
            # Objects are among the proposals themselves.
            (OTHER, OTHER_POINTS, [2, 2, 2]),
            (BOX, POINTS, [0, 0, 2]),
            (BOX, POINTS, [2, 2, 2]),
            (narrow, POINTS, [2, 2, 2]),
        ]
    )


def test_ignored_objects_give_no_keypoint_loss(monkeypatch):
    """With ``ScaleRangeAssigner``: an out-of-range object has keypoints, but no RoI is trained on them."""
    cfg = keypoint_cfg('offset')
    cfg.train_cfg.rcnn.assigner.type = 'ScaleRangeAssigner'
    head = build_tiny_detector(cfg).roi_head
    calls = trained_boxes(head, monkeypatch)
    ignored = ([OTHER], [OTHER_POINTS], [[2, 2, 2]])
    one = sample([BOX], [POINTS], [[2, 2, 2]], ignored=ignored)
    head.loss(features(1), [proposals(BOX, OTHER)], [one])
    assert calls.pop() == [[BOX, BOX], [POINTS, POINTS], [[2, 2, 2]] * 2]
    losses = head.loss(features(1), [proposals(BOX, OTHER)], [sample([], [], [], ignored=ignored)])
    assert calls == [[[], [], []]] and losses['loss_keypoint_vicinity'] == losses['loss_keypoint_offset'] == 0


@pytest.mark.parametrize('masks', [False, True])
def test_boxes_and_masks_are_those_without_keypoints(masks):
    cfg = keypoint_cfg('offset', masks=masks)
    plain_cfg = copy.deepcopy(cfg)
    plain_cfg.roi_head.type = 'StandardRoIHead'
    del plain_cfg.roi_head['keypoint_roi_extractor'], plain_cfg.roi_head['keypoint_head']
    head, plain = build_tiny_detector(cfg).roi_head, build_tiny_detector(plain_cfg).roi_head
    assert type(plain) is StandardRoIHead and isinstance(head, KeypointRoIHead)
    missing, unexpected = plain.load_state_dict(head.state_dict(), strict=False)
    assert not missing and all(name.startswith('keypoint_head.') for name in unexpected)

    one = sample([BOX], [POINTS], [[2, 2, 2]], scale_factor=(2.0, 1.6))
    torch.manual_seed(0)
    many = proposals(*(torch.rand(40, 2) * 60).repeat(1, 2).add(torch.tensor([0, 0, 30.0, 50.0])).tolist())
    losses = []
    for model in (head, plain):
        torch.manual_seed(1)
        losses.append(model.loss(features(1), [copy.deepcopy(many)], [one]))
    for name, value in losses[1].items():
        assert torch.equal(losses[0][name], value), name
    for rescale in (False, True):
        ((with_keypoints,), (without,)) = (
            m.predict(features(1), [copy.deepcopy(many)], [one], rescale=rescale) for m in (head, plain)
        )
        assert len(without) > 1
        assert set(with_keypoints.keys()) == set(without.keys()) | {'keypoints', 'keypoint_scores'}
        for name in without.keys():  # noqa: SIM118  InstanceData is no mapping
            assert torch.equal(with_keypoints[name], without[name]), name


@pytest.mark.parametrize('kind', KINDS)
def test_predicted_keypoints_are_in_the_frame_of_the_boxes(kind):
    """In view pixels they are the head's own; rescaled they are divided by the factor of each axis."""
    head = roi_head(kind)
    x, metas = features(), [dict(scale_factor=(2.0, 1.6)), dict(scale_factor=(0.5, 0.5))]
    boxes = [torch.tensor([BOX, OTHER, [0.0, 0.0, 40.0, 40.0]]), torch.tensor([OTHER])]

    def detections(rescaled):
        return [
            InstanceData(
                bboxes=b / b.new_tensor(m['scale_factor']).repeat(2) if rescaled else b,
                scores=torch.linspace(0.9, 0.1, len(b)),
                labels=torch.zeros(len(b), dtype=torch.long),
            )
            for b, m in zip(boxes, metas)
        ]

    with torch.no_grad():
        in_view = head.predict_keypoint(x, metas, detections(False), rescale=False)
        rescaled = head.predict_keypoint(x, metas, detections(True), rescale=True)
        for image, (results, small) in enumerate(zip(in_view, rescaled)):
            rois = torch.cat([torch.full((len(results), 1), float(image)), results.bboxes], dim=1)
            keypoints, scores = head.keypoint_head.decode(head._keypoint_forward(x, rois), results.bboxes)
            assert results.keypoints.shape == (len(results), 3, 2)
            torch.testing.assert_close(results.keypoints, keypoints)
            torch.testing.assert_close(results.keypoint_scores, scores)
            torch.testing.assert_close(small.keypoints * torch.tensor(metas[image]['scale_factor']), keypoints)
            torch.testing.assert_close(small.keypoint_scores, scores)


@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('masks', [False, True])
def test_predictions_without_detections(kind, masks):
    head = roi_head(kind, masks=masks)
    samples = [sample([], [], [])] * 2
    for results in head.predict(features(), [proposals(), proposals()], samples, rescale=True):
        assert results.keypoints.shape == (0, 3, 2) and results.keypoint_scores.shape == (0, 3)
        assert results.keypoints.dtype == results.keypoint_scores.dtype == torch.float32


def test_chunks_of_rois_change_nothing(monkeypatch):
    head = roi_head('offset')
    boxes = torch.tensor([BOX, OTHER, [0.0, 0.0, 40.0, 40.0], [40.0, 40.0, 90.0, 80.0]])
    found = []
    for rois_at_once in (256, 3):
        monkeypatch.setattr('mmisn.models.roi_heads.keypoint_roi_head._ROIS_AT_ONCE', rois_at_once)
        results = InstanceData(bboxes=boxes, scores=torch.ones(4), labels=torch.zeros(4).long())
        head.predict_keypoint(features(1), [{}], [results])
        found.append(results.keypoints)
    torch.testing.assert_close(*found)


def test_who_shares_keypoints():
    boxes = torch.tensor(
        [
            [0, 0, 10, 9.5],
            [0, 0, 10, 10],
            [0, 0, 10, 10],
            [0, 0, 10, 5],
            [50, 50, 60, 60],
            [5, 5, 5, 5],
            [0, 0, 10, 9.5],
        ]
    )
    scores = torch.tensor([0.8, 0.9, 0.7, 0.6, 0.5, 0.4, 0.3])
    labels = torch.tensor([0, 0, 1, 0, 0, 0, 1])
    chosen, index = representatives(boxes, scores, labels, 0.7)
    # The first takes over from the second; the third is of another class, the fourth overlaps by a half only. The
    # last takes over from the third, although it overlaps the second as much.
    assert chosen.tolist() == [1, 2, 3, 4, 5]
    assert index.tolist() == [0, 0, 1, 2, 3, 4, 1]
    chosen, index = representatives(boxes, scores, labels, None)
    assert chosen.tolist() == index.tolist() == list(range(7))


def test_keypoints_of_an_object_are_shared():
    near = [21.0, 30.0, 81.0, 110.0]
    results = InstanceData(
        bboxes=torch.tensor([near, BOX, OTHER]), scores=torch.tensor([0.4, 0.9, 0.3]), labels=torch.zeros(3).long()
    )
    shared = roi_head('offset').predict_keypoint(features(1), [{}], [copy.deepcopy(results)])[0].keypoints
    head = roi_head('offset')
    head.share_iou = None
    own = head.predict_keypoint(features(1), [{}], [results])[0].keypoints
    assert torch.equal(shared[0], shared[1]) and not torch.allclose(own[0], own[1])
    torch.testing.assert_close(shared[1:], own[1:])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_features(dtype):
    """Losses and keypoints from features in half precision, as close as their 8 (bfloat16) bits allow."""
    head = roi_head('offset')
    results = InstanceData(bboxes=torch.tensor([BOX]), scores=torch.ones(1), labels=torch.zeros(1).long())
    keypoints = [head.predict_keypoint(features(1), [{}], [copy.deepcopy(results)])[0]]
    rois = torch.tensor([[0.0, *BOX]])
    reference = head._keypoint_forward(features(1), rois)
    half = copy.deepcopy(head).to(dtype)
    low = tuple(level.to(dtype) for level in features(1))
    for preds, expected in zip(half._keypoint_forward(low, rois), reference):
        assert preds.dtype == dtype
        torch.testing.assert_close(preds.float(), expected, atol=0.05, rtol=0.05)
    keypoints.append(half.predict_keypoint(low, [{}], [results])[0])
    assert keypoints[1].keypoints.dtype == torch.float32
    torch.testing.assert_close(keypoints[0].keypoint_scores, keypoints[1].keypoint_scores, atol=0.05, rtol=0.05)


def test_raw_outputs_end_with_the_keypoint_maps():
    head = roi_head('one-hot', masks=True)
    outputs = head.forward(features(1), [proposals(BOX, OTHER)])
    assert [o.shape[0] for o in outputs] == [2] * 4
    assert outputs[-1].shape == (2, 3, 56, 56)


def test_wrong_annotations_are_refused():
    head = roi_head('offset')
    one = sample([BOX], [POINTS], [[2, 2, 2]])
    del one.gt_instances.keypoints_visible
    with pytest.raises(ValueError, match="gt_instances have no 'keypoints_visible', only .*PackInstanceInputs"):
        head.loss(features(1), [proposals(BOX)], [one])
    one.gt_instances = instances([BOX], [POINTS[:2]], [[2, 2]], num_keypoints=2)
    with pytest.raises(ValueError, match=r'num_keypoints=3 need keypoints of shape \(1, 3, 2\).* got \(1, 2, 2\)'):
        head.loss(features(1), [proposals(BOX)], [one])
    for share_iou in (0, 1, -0.5):
        cfg = keypoint_cfg('offset')
        cfg.roi_head.share_iou = share_iou
        with pytest.raises(ValueError, match='share_iou must be in'):
            build_tiny_detector(cfg)


@pytest.mark.parametrize(
    'file, head, size',
    [
        ('keypoint-rcnn_r50_fpn.py', 'KeypointRCNNHead', (14, 14)),
        ('offset-keypoint-rcnn_r50_fpn.py', 'OffsetKeypointHead', (22, 16)),
    ],
)
def test_config_fragments_build(file, head, size, request):
    cfg = Config.fromfile(request.config.rootpath / 'configs/_base_/models' / file).model
    cfg.backbone.init_cfg = None
    with torch.device('meta'):
        model = MODELS.build(cfg)
    roi = model.roi_head
    assert type(roi.keypoint_head).__name__ == head and roi.keypoint_head.num_keypoints == 17
    assert len(roi.keypoint_head.convs) == 8 and roi.bbox_head.num_classes == 1
    assert [layer.output_size for layer in roi.keypoint_roi_extractor.roi_layers] == [size] * 4
    preds = roi.keypoint_head(torch.empty(2, 256, *size, device='meta'))
    preds = preds if isinstance(preds, tuple) else (preds,)
    assert preds[0].shape == (2, 17, *((56, 56) if head == 'KeypointRCNNHead' else size))
