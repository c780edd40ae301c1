"""``ViewRecorder`` against the model that it is and the detector that it wraps; its set-up and its names."""

import copy

import pytest
import torch
from mmcv.transforms import Compose
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict

from mmisn.evaluation.view_recorder import ViewRecorder, build_recorder, name_views
from mmisn.models.test_time_augs import ScaleRangeTTAModel
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

LEVELS = (2.0, 0.5)


def _pipeline(levels=LEVELS):
    chips = [dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[f])) for f in levels]
    views = dict(type='TestTimeAug', transforms=[chips, [dict(type='CropChip')], [dict(type='PackInstanceInputs')]])
    return [views]


def _batch(num_images=2):
    register_all_modules()
    pipeline = Compose(_pipeline())
    items = []
    for i in range(num_images):
        image = torch.randint(0, 256, (96, 120, 3), generator=torch.Generator().manual_seed(i)).numpy().astype('uint8')
        items.append(pipeline(dict(img=image, img_id=40 + i, img_shape=(96, 120), ori_shape=(96, 120))))
    return {k: [list(view) for view in zip(*(item[k] for item in items))] for k in ('inputs', 'data_samples')}


def _cfg(ranged):
    cfg = tiny_faster_rcnn_cfg()
    if ranged:
        cfg.rpn_head.type = 'ScaleRangeRPNHead'
    return cfg


@pytest.mark.parametrize('ranged', [False, True])
def test_records_what_the_views_reported(ranged):
    detector, batch = build_tiny_detector(_cfg(ranged)), _batch()
    options = dict(scale_range=(20, 60), view_test_cfg=None)
    recorded = ViewRecorder(detector, **options).record(copy.deepcopy(batch))
    with torch.no_grad():
        merged = ScaleRangeTTAModel(detector, **options).test_step(copy.deepcopy(batch))
    assert [r.image_id for r in recorded] == [40, 41]
    assert [r.image_wh for r in recorded] == [(120, 96)] * 2
    for told, name in (((20.0, 60.0), 'views'), ((0.0, float('inf')), 'open_views')):
        for v in range(2):
            view = {k: copy.deepcopy(batch[k][v]) for k in batch}
            for sample in view['data_samples']:
                sample.set_metainfo(dict(scale_range=told))
            with torch.no_grad():
                expected = detector.test_step(view)
            for image, sample in zip(recorded, expected, strict=True):
                chip, found = getattr(image, name)[v]
                assert chip.size_wh == (120 * LEVELS[v], 96 * LEVELS[v])
                assert len(found) > 0
                assert torch.equal(found.bboxes, sample.pred_instances.bboxes)
                assert torch.equal(found.scores, sample.pred_instances.scores)
    for image, sample in zip(recorded, merged, strict=True):
        assert torch.equal(image.merged.bboxes, sample.pred_instances.bboxes)
        same = all(torch.equal(a[1].bboxes, b[1].bboxes) for a, b in zip(image.views, image.open_views))
        # A plain RPN is told of no range and needs no second pass.
        assert same != ranged
        assert (image.views is image.open_views) != ranged


def test_masks_take_no_part():
    """Views are recorded with boxes alone, and nothing is pasted for all that they report."""
    cfg = tiny_mask_rcnn_cfg()
    cfg.rpn_head.type = 'ScaleRangeRPNHead'
    detector, batch = build_tiny_detector(cfg), _batch(1)
    recorded = ViewRecorder(detector, scale_range=(20, 60)).record(batch)[0]
    merged = recorded.merged
    assert merged.masks.shape == (len(merged), 96, 120) and len(merged) > 10
    for views in (recorded.views, recorded.open_views):
        assert all(sorted(found.keys()) == ['bboxes', 'labels', 'scores'] for _, found in views)
    for (chip, found), box, row, view in zip(
        [recorded.views[v] for v in merged.view_ids.tolist()], merged.bboxes, merged.view_rows, merged.view_ids
    ):
        assert chip.size_wh[0] == 120 * LEVELS[view]
        assert torch.equal(chip.rescaled_boxes_to_image(found.bboxes[row]), box)


def test_no_second_pass_where_nothing_filters():
    detector = build_tiny_detector(_cfg(True))
    infinite = ViewRecorder(detector).record(_batch(1))[0]
    assert infinite.views is infinite.open_views
    detector.rpn_head.filter_in_test = False
    unfiltered = ViewRecorder(detector, scale_range=(20, 60)).record(_batch(1))[0]
    assert unfiltered.views is unfiltered.open_views


def _whole_cfg(**tta_model):
    return ConfigDict(model=_cfg(False), tta_model=tta_model, tta_pipeline=_pipeline())


def _save(path, model):
    torch.save(dict(state_dict={f'module.{k}': v for k, v in model.state_dict().items()}), path)
    return path


def test_build(tmp_path):
    detector = build_tiny_detector(_cfg(False), seed=3)
    checkpoint = _save(tmp_path / 'a.pth', detector)
    recorder = build_recorder(_whole_cfg(type='ScaleRangeTTAModel', scale_range=(20, 60), max_per_img=7), checkpoint)
    assert not recorder.training
    assert recorder.max_per_img == 7
    assert (recorder.view_filters.scale_range.lower, recorder.view_filters.scale_range.upper) == (20, 60)
    for name, value in detector.state_dict().items():
        assert torch.equal(recorder.module.state_dict()[name], value)
    # mmdet's own test-time augmentation: the detector's settings stay, hard NMS merges.
    nms = dict(type='nms', iou_threshold=0.4)
    recorder = build_recorder(_whole_cfg(type='DetTTAModel', tta_cfg=dict(nms=nms, max_per_img=9)), checkpoint)
    assert recorder.nms == nms
    assert recorder.max_per_img == 9
    assert recorder.view_filters.scale_range.is_infinite
    assert recorder.module.roi_head.test_cfg == detector.roi_head.test_cfg


def test_errors_of_build(tmp_path):
    cfg = _whole_cfg(type='ScaleRangeTTAModel')
    with pytest.raises(ValueError, match='has no tta_model and no tta_pipeline'):
        build_recorder(ConfigDict(model=cfg.model), 'x.pth')
    with pytest.raises(ValueError, match='tta_model is a SegTTAModel; ScaleRangeTTAModel and DetTTAModel can'):
        build_recorder(_whole_cfg(type='SegTTAModel'), 'x.pth')
    with pytest.raises(FileNotFoundError):
        build_recorder(cfg, tmp_path / 'none.pth')
    detector = build_tiny_detector(_cfg(False))
    torch.save(dict(state_dict=detector.backbone.state_dict()), tmp_path / 'part.pth')
    with pytest.raises(RuntimeError, match=r'lacks \d+ weights of FasterRCNN, among them backbone.conv1.weight'):
        build_recorder(cfg, tmp_path / 'part.pth')
    other = _save(tmp_path / 'other.pth', build_tiny_detector(tiny_faster_rcnn_cfg(num_classes=5)))
    with pytest.raises(RuntimeError, match='size mismatch for roi_head.bbox_head.fc_cls.weight'):
        build_recorder(cfg, other)


def _tta(*groups):
    return [dict(type='LoadImageFromFile'), dict(type='TestTimeAug', transforms=list(groups))]


def test_names_of_views():
    assert name_views(_pipeline((4.0, (1333, 800)))) == ['x4', '1333x800']
    resizes = [
        dict(type='Resize', scale=(1333, 800), keep_ratio=True),
        dict(type='Resize', scale_factor=0.5, keep_ratio=True),
        dict(type='Resize', scale=640, keep_ratio=True),
    ]
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    assert name_views(_tta(resizes, flips, [dict(type='PackDetInputs')])) == [
        *('1333x800', '1333x800 flipped', 'x0.5', 'x0.5 flipped', '640x640', '640x640 flipped')
    ]
    flipped = dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[2], flips=(True,)))
    assert name_views(_tta([flipped])) == ['x2 flipped']
    pads = [dict(type='Pad', size_divisor=s) for s in (32, 64)]
    assert name_views(_tta(pads)) == ['as is (1)', 'as is (2)']
    with pytest.raises(ValueError, match='has one TestTimeAug, got'):
        name_views([dict(type='LoadImageFromFile')])
