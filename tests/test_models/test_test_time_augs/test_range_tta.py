"""``ScaleRangeTTAModel`` on a real (tiny) detector and mmdet's own test-time augmentation pipeline."""

import copy

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmdet.models.test_time_augs import DetTTAModel
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.utils import register_all_modules
from mmengine.config import ConfigDict
from mmengine.structures import InstanceData

from mmisn.models.test_time_augs import ScaleRangeTTAModel, merge_views
from mmisn.structures import Chip, ScaleRange, ViewFilter
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg

SCALES = [(160, 120), (240, 180)]
HARD_NMS = dict(type='nms', iou_threshold=0.5)


def _batch(num_images=1, scales=SCALES):
    """Images of 120x96 px through mmdet's TTA pipeline: scales, then not flipped and flipped; as a loader collates."""
    register_all_modules()
    meta_keys = ('img_id', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction')
    flips = [dict(type='RandomFlip', prob=0.0), dict(type='RandomFlip', prob=1.0)]
    resizes = [dict(type='Resize', scale=s, keep_ratio=True) for s in scales]
    tta = Compose(
        [dict(type='TestTimeAug', transforms=[resizes, flips, [dict(type='PackDetInputs', meta_keys=meta_keys)]])]
    )
    items = []
    for i in range(num_images):
        image = np.random.default_rng(i).integers(0, 256, (96, 120, 3), dtype=np.uint8)
        items.append(tta(dict(img=image, img_id=i, img_shape=(96, 120), ori_shape=(96, 120))))
    return {k: [list(view) for view in zip(*(item[k] for item in items))] for k in ('inputs', 'data_samples')}


@pytest.fixture(scope='module')
def detector():
    return build_tiny_detector(tiny_faster_rcnn_cfg())


def _run(model, batch):
    with torch.no_grad():
        return model.test_step(copy.deepcopy(batch))


def test_infinite_range_is_exactly_det_tta_model(detector):
    reference = DetTTAModel(module=detector, tta_cfg=ConfigDict(nms=HARD_NMS, max_per_img=100))
    model = ScaleRangeTTAModel(detector, nms=HARD_NMS, max_per_img=100, view_test_cfg=None)
    batch = _batch(2)
    for expected, result in zip(_run(reference, batch), _run(model, batch), strict=True):
        assert len(result.pred_instances) > 20
        for name in ('bboxes', 'scores', 'labels'):
            assert torch.equal(result.pred_instances[name], expected.pred_instances[name])


def test_range_filters_each_view(detector):
    model = ScaleRangeTTAModel(detector, scale_range=(20, 60), nms=None, max_per_img=10**6, view_test_cfg=None)
    batch = _batch()
    result = _run(model, batch)[0].pred_instances
    views = [_run(detector, {k: v[i] for k, v in batch.items()})[0] for i in range(4)]
    expected = 0
    for view in views:
        # In view pixels: original pixels times the view's factor.
        wh = (view.pred_instances.bboxes[:, 2:] - view.pred_instances.bboxes[:, :2]).double().numpy()
        scale = np.sqrt(wh.prod(axis=1) * np.prod(view.scale_factor))
        expected += int(((scale >= 20) & (scale <= 60)).sum())
    assert 0 < expected == len(result) < sum(len(v.pred_instances) for v in views)


def test_a_range_per_view():
    cfg = tiny_faster_rcnn_cfg()
    ranges = [(0, 30), (0, 30), (30, None), (30, None)]
    model = ScaleRangeTTAModel(build_tiny_detector(cfg), scale_range=ranges, nms=None)
    result = _run(model, _batch())[0].pred_instances
    assert set(result.view_ids.tolist()) == {0, 1, 2, 3}
    wh = result.bboxes[:, 2:] - result.bboxes[:, :2]
    # Views are 150x120 and 225x180 px of 120x96.
    factors = torch.where(result.view_ids < 2, 1.25, 1.875)
    scales = wh.prod(dim=1).sqrt() * factors
    assert (scales[result.view_ids < 2] <= 30 + 1e-3).all()
    assert (scales[result.view_ids >= 2] >= 30 - 1e-3).all()
    model.view_filters = model.view_filters[:3]
    with pytest.raises(ValueError, match='3 view filters or scale ranges for 4 views'):
        _run(model, _batch())


def test_opened_views_give_more_boxes():
    closed = ScaleRangeTTAModel(
        build_tiny_detector(tiny_faster_rcnn_cfg()), nms=None, max_per_img=10**6, view_test_cfg=None
    )
    opened = ScaleRangeTTAModel(build_tiny_detector(tiny_faster_rcnn_cfg()), nms=None, max_per_img=10**6)
    batch = _batch()
    assert len(_run(opened, batch)[0].pred_instances) > len(_run(closed, batch)[0].pred_instances) > 0


def test_merged_sample_is_of_the_image_and_views_are_left_alone():
    model = ScaleRangeTTAModel(build_tiny_detector(tiny_faster_rcnn_cfg()), scale_range=(16, 560))
    views = []
    for i, chip in enumerate([Chip.full((120, 96), (60, 48), flip=True), Chip((20, 10, 100, 90), (160, 160))]):
        meta = dict(
            img_id=5,
            img_path='x.jpg',
            ori_shape=(96, 120),
            img_shape=chip.size_wh[::-1],
            scale_factor=chip.factors,
            flip=chip.flip,
            chip=chip,
            scale_range=(16, 560),
        )
        found = InstanceData(
            bboxes=torch.tensor([[10.0, 20, 70, 60]]), scores=torch.tensor([0.5 + 0.2 * i]), labels=torch.tensor([1])
        )
        views.append(DetDataSample(metainfo=meta, pred_instances=found, gt_instances=InstanceData()))
    before = copy.deepcopy(views)
    merged = model.merge_preds([tuple(views)])[0]
    expected_meta = dict(
        img_id=5,
        img_path='x.jpg',
        ori_shape=(96, 120),
        img_shape=(96, 120),
        scale_factor=(1.0, 1.0),
        flip=False,
        flip_direction=None,
        num_views=2,
        view_pixels=60 * 48 + 160 * 160,
    )
    assert merged.metainfo == expected_meta
    assert 'gt_instances' not in merged  # they were cut to the chip
    assert merged.pred_instances.bboxes.tolist() == [[30, 30, 90, 70], [50, 20, 110, 60]]
    for view, old in zip(views, before):
        assert view.metainfo == old.metainfo
        assert torch.equal(view.pred_instances.bboxes, old.pred_instances.bboxes)
        assert set(view.pred_instances.keys()) == set(old.pred_instances.keys())
    direct = merge_views([(v.chip, v.pred_instances) for v in views], (120, 96), ViewFilter(ScaleRange(16, 560)))
    assert torch.equal(direct.scores, merged.pred_instances.scores)


def test_annotations_in_original_pixels_are_kept():
    model = ScaleRangeTTAModel(build_tiny_detector(tiny_faster_rcnn_cfg()))
    batch = _batch()
    gts = InstanceData(bboxes=torch.tensor([[1.0, 2, 3, 4]]), labels=torch.tensor([0]))
    for view in batch['data_samples']:
        view[0].gt_instances = gts
    assert _run(model, batch)[0].gt_instances.bboxes.tolist() == [[1, 2, 3, 4]]


def test_from_config():
    cfg = dict(
        type='ScaleRangeTTAModel',
        module=tiny_faster_rcnn_cfg(),
        scale_range=(16, 560),
        nms=dict(type='soft_nms', sigma=0.55),
        max_per_img=7,
    )
    model = MODELS.build(ConfigDict(cfg)).eval()
    assert model.module.roi_head.test_cfg.nms is None
    assert len(_run(model, _batch())[0].pred_instances) <= 7


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(nms=dict(type='wbf')), 'nms.type must be'),
        (dict(max_per_img=0), 'max_per_img must be at least 1'),
        (dict(scale_range=(560, 16)), 'lower < upper'),
        (dict(scale_range=(16, 560), view_filter=dict()), 'not both'),
        (dict(view_test_cfg=dict(nsm=None)), "view_test_cfg {'nsm': None} does not fit StandardRoIHead"),
    ],
)
def test_bad_options(detector, kwargs, message):
    with pytest.raises(ValueError, match=message):
        ScaleRangeTTAModel(detector, **kwargs)


class _Seen(torch.nn.Module):
    """A detector that finds nothing and notes the range that each view is told."""

    def __init__(self):
        super().__init__()
        self.ranges = []

    def test_step(self, data):
        for sample in data['data_samples']:
            self.ranges.append(sample.metainfo.get('scale_range'))
            none = torch.zeros(0)
            sample.pred_instances = InstanceData(bboxes=torch.zeros(0, 4), scores=none, labels=none.long())
        return data['data_samples']


def _views_at(*sizes_wh):
    samples = [
        [DetDataSample(metainfo=dict(ori_shape=(80, 100), img_shape=wh[::-1], chip=Chip.full((100, 80), wh)))]
        for wh in sizes_wh
    ]
    return dict(inputs=[[torch.zeros(3, *wh[::-1])] for wh in sizes_wh], data_samples=samples)


def test_each_view_is_told_its_range_in_its_own_pixels():
    """Range-aware heads read it; it is stated once, in the model."""
    original = dict(lower=10, upper=40, frame='original')
    model = ScaleRangeTTAModel(_Seen(), scale_range=[(16, 560), original], view_test_cfg=None)
    model.test_step(_views_at((200, 160), (50, 40)))
    assert model.module.ranges == [(16, 560), (5, 20)]


@pytest.mark.parametrize('loaded_first', [False, True])
def test_ground_truth_of_the_pyramid(loaded_first):
    """Test pipelines load annotations after cropping: they are the image's, to be drawn beside what is found."""
    crop, load = dict(type='CropChip'), dict(type='LoadAnnotations', with_bbox=True)
    steps = [load, crop] if loaded_first else [crop, load]
    image = np.zeros((80, 100, 3), np.uint8)
    info = dict(img=image, img_id=0, img_shape=(80, 100), ori_shape=(80, 100), height=80, width=100)
    info['instances'] = [dict(bbox=[10, 20, 30, 60], bbox_label=0, ignore_flag=i) for i in (0, 1)]
    inputs, samples = [], []
    for factor in (2.0, 0.5):
        views = dict(type='GenerateChips', generator=dict(type='PyramidChips', factors=[factor]))
        packed = Compose([views, *steps, dict(type='PackInstanceInputs')])(dict(info))
        inputs.append([packed['inputs']])
        samples.append([packed['data_samples']])
    model = ScaleRangeTTAModel(_Seen(), view_test_cfg=None)
    (merged,) = model.test_step(dict(inputs=inputs, data_samples=samples))
    assert merged.img_shape == (80, 100) and 'gts_in_original' not in merged
    if loaded_first:
        # They are the view's: at half the size for the last.
        assert 'gt_instances' not in merged and 'ignored_instances' not in merged
        assert samples[-1][0].gt_instances.bboxes.numpy().tolist() == [[5, 10, 15, 30]]
        return
    for rows in (merged.gt_instances, merged.ignored_instances):
        assert rows.bboxes.numpy().tolist() == [[10, 20, 30, 60]]


def test_gaps_between_views_are_named_once():
    model = ScaleRangeTTAModel(_Seen(), scale_range=(16, 40), view_test_cfg=None)
    # [16, 40] is [4, 10] at factor 4 and [16, 40] at factor 1.
    with pytest.warns(UserWarning, match=r'\(10, 16\) original px are in range of no view') as caught:
        for _ in range(2):
            model.test_step(_views_at((400, 320), (100, 80)))
    assert len([w for w in caught if 'original px' in str(w.message)]) == 1
