"""MMDetection's own SSDLite, trained one step and tested."""

import pytest
import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.hub import get_config
from mmengine.structures import InstanceData

from mmisn.models.dense_heads import PatchedSSDHead


def ssdlite(head):
    model = get_config('mmdet::ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py').model
    model.bbox_head.type = head
    model.backbone.widen_factor = 0.1
    model.neck.update(in_channels=(16, 1280), out_channels=(16, 1280, 32, 32, 32, 32))
    model.bbox_head.update(in_channels=(16, 1280, 32, 32, 32, 32), num_classes=3)
    torch.manual_seed(0)
    return MODELS.build(model).eval()


def batch():
    sample = DetDataSample(
        metainfo=dict(img_shape=(320, 320), ori_shape=(320, 320), pad_shape=(320, 320), scale_factor=(1.0, 1.0))
    )
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[20.0, 10, 120, 90]]), labels=torch.tensor([2]))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    return torch.rand(1, 3, 320, 320), [sample]


def test_ssd_cannot_be_tested_without_it():
    """When MMDetection's head can be tested, ``PatchedSSDHead`` can go."""
    with pytest.raises(AttributeError, match='loss_cls'):
        ssdlite('SSDHead').predict(*batch())


def test_it_predicts_what_the_maps_say_and_its_losses_are_the_parents():
    model, (images, samples) = ssdlite('PatchedSSDHead'), batch()
    assert isinstance(model.bbox_head, PatchedSSDHead) and isinstance(model.bbox_head, SSDHead)
    model.test_cfg.update(score_thr=0.0, nms=None, nms_pre=100_000, max_per_img=100_000)
    with torch.no_grad():
        found = model.predict(images, samples)[0].pred_instances
        cls_scores, _ = model.bbox_head(model.extract_feat(images))
    logits = torch.cat([maps.permute(0, 2, 3, 1).reshape(-1, 4) for maps in cls_scores])
    # All anchors, three classes each; the last column is background.
    assert len(found) == logits.softmax(1)[:, :3].numel()
    torch.testing.assert_close(found.scores.sort()[0], logits.softmax(1)[:, :3].flatten().sort()[0])
    plain = ssdlite('SSDHead')
    plain.load_state_dict(model.state_dict())
    for name, losses in plain.loss(images, samples).items():
        assert torch.equal(torch.stack(losses), torch.stack(model.loss(images, samples)[name]))
