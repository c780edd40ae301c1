"""``ChipDetector`` with a scale net: recursive windows, focus and grid, filters of windows, matching, loading."""

import copy

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmdet.structures.bbox import HorizontalBoxes
from mmengine.config import ConfigDict
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData
from scale_net_stand_in import BOUNDS, SquareDetector, SquareScaleNet, painted

from mmisn.chips import ClassRule, FocusChips, GridChips, PyramidChips, RecursiveChips
from mmisn.models.detectors import ChipDetector
from mmisn.structures import Chip
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

IMAGE_WH = (160, 120)
SMALL, LARGE = (20, 30, 10), (90, 20, 60)


def data_of(*images):
    shapes = [image.shape[:2] for image in images]
    samples = [DetDataSample(metainfo=dict(img_id=i, ori_shape=s, img_shape=s)) for i, s in enumerate(shapes)]
    return dict(inputs=[torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in images], data_samples=samples)


def detector_of(generator, net=None, **kwargs):
    options = dict(view_test_cfg=None, interpolation='nearest', nms=dict(type='nms', iou_threshold=0.5))
    return ChipDetector(SquareDetector(), generator, scale_net=net, **{**options, **kwargs}).eval()


def run(detector, *images):
    with torch.no_grad():
        return detector.test_step(data_of(*images))


def boxes_of(result):
    return sorted(tuple(round(v) for v in b) for b in result.pred_instances.bboxes.tolist())


def square(x, y, side):
    return (x, y, x + side, y + side)


def recursive(**options):
    return RecursiveChips(ClassRule(threshold=0.3), **{**dict(window=48, max_rescales=2), **options})


def test_recursive_finds_what_the_plain_detector_misses():
    image = painted(IMAGE_WH, SMALL, LARGE)
    plain = run(detector_of(PyramidChips([1.0])), image)[0]
    assert boxes_of(plain) == [square(*LARGE)]
    assert 'scale_net_pixels' not in plain
    net = SquareScaleNet()
    result = run(detector_of(recursive(), net), image)[0]
    assert boxes_of(result) == [square(*SMALL), square(*LARGE)]
    # The window around the small square, at x2, where it is 20 px: in range, so it is not enlarged again.
    window = Chip((1, 11, 49, 59), (96, 96))
    assert result.chips == [Chip.full(IMAGE_WH), window]
    assert (result.num_views, result.view_pixels) == (2, 160 * 120 + 96 * 96)
    assert result.chips_are_windows == [False, True]
    assert result.scale_net_pixels == 160 * 120 + 96 * 96
    assert net.asked == [[IMAGE_WH], [(96, 96)]]


def test_windows_go_through_the_detector_together():
    image = painted(IMAGE_WH, (10, 10, 9), (140, 10, 9), (10, 100, 9), (140, 100, 9))
    results = {}
    for size in (1, 3, 8):
        detector = detector_of(recursive(max_rescales=1), SquareScaleNet(), batch_size=size)
        results[size] = boxes_of(run(detector, image)[0])
        assert [len(batch) for batch in detector.detector.views] == {1: [1] * 5, 3: [1, 3, 1], 8: [1, 4]}[size]
    assert results[1] == results[3] == results[8] and len(results[1]) == 4


def test_windows_have_their_own_filter():
    # The window around the small square cuts the large one.
    image = painted(IMAGE_WH, (20, 40, 10), (46, 20, 60))
    small, large = square(20, 40, 10), square(46, 20, 60)
    options = dict(generator=recursive(window=58, max_rescales=1), net=SquareScaleNet(), nms=None)
    unfiltered = boxes_of(run(detector_of(**options), image)[0])
    (part,) = set(unfiltered) - {small, large}
    assert part[0] == 46 and part[2] < 106 and len(unfiltered) == 3
    by_edge = run(detector_of(**options, window_filter=dict(edge_margin=2)), image)[0]
    assert boxes_of(by_edge) == [small, large]
    # "All boxes with scale greater than 2 are discarded": classes up to 2 end at 32 px of the window's view.
    by_scale = run(detector_of(**options, window_filter=dict(scale_range=(0, 32))), image)[0]
    assert boxes_of(by_scale) == [small, large]
    # The whole image keeps its own rule.
    both = run(detector_of(**options, scale_range=(0, 32), window_filter=dict(scale_range=(0, 32))), image)[0]
    assert boxes_of(both) == [small]


def test_image_smaller_than_a_window_has_a_window_too():
    image = painted((40, 30), (5, 5, 9))
    detector = detector_of(recursive(max_rescales=1), SquareScaleNet(), window_filter=dict(edge_margin=50))
    result = run(detector, image)[0]
    # The window's edges are the image's: no part of it is near an inner edge.
    assert boxes_of(result) == [square(5, 5, 9)]
    assert result.chips == [Chip.full((40, 30)), Chip((0, 0, 40, 30), (80, 60))]
    assert result.chips_are_windows == [False, True]
    narrow = detector_of(recursive(max_rescales=1), SquareScaleNet(), window_filter=dict(scale_range=(0, 10)))
    assert boxes_of(run(narrow, image)[0]) == []


@pytest.mark.parametrize('classes', [True, False])
def test_matching_discards_parts_of_larger_objects(classes):
    image = painted(IMAGE_WH, (20, 40, 10), (46, 20, 60))
    # Windows cut where the map of classes says; a net of relative scales is asked through a rule of its own.
    rule = ClassRule() if classes else dict(type='RegressionRule', lower=0.5)
    generator = RecursiveChips(rule, window=58, max_rescales=1)
    options = dict(generator=generator, nms=None)
    assert len(boxes_of(run(detector_of(net=SquareScaleNet(classes=classes), **options), image)[0])) == 3
    match = dict(tolerance=0) if classes else dict(ratio=1.5)
    result = run(detector_of(net=SquareScaleNet(classes=classes), match=match, **options), image)[0]
    assert boxes_of(result) == [square(20, 40, 10), square(46, 20, 60)]


def test_focus_computes_nothing_where_nothing_is_predicted():
    generator = FocusChips([2.0, 1.0], (16, 100), look=0.5)
    detector = detector_of(generator, SquareScaleNet())
    result = run(detector, np.zeros((120, 160, 3), np.uint8))[0]
    assert (result.num_views, result.view_pixels, result.scale_net_pixels) == (0, 0, 80 * 60)
    assert len(result.pred_instances) == 0 and detector.detector.views == []


def test_focus_finds_what_the_pyramid_finds_for_less():
    image = painted((320, 240), (20, 30, 10), (200, 100, 60))
    factors, scale_range = [2.0, 1.0, 0.5], (16, 100)
    pyramid = run(detector_of(PyramidChips(factors), scale_range=scale_range), image)[0]
    generator = FocusChips(factors, scale_range, look=0.5, grid=dict(cell=16, min_size=64, context=8))
    focus = run(detector_of(generator, SquareScaleNet(), scale_range=scale_range), image)[0]
    assert boxes_of(focus) == boxes_of(pyramid) == [square(20, 30, 10), square(200, 100, 60)]
    assert focus.view_pixels + focus.scale_net_pixels < 0.2 * pyramid.view_pixels
    assert focus.scale_net_pixels == 160 * 120


def test_grid_with_a_filter_of_its_cells():
    image = painted(IMAGE_WH, SMALL, LARGE)
    detector = detector_of(GridChips(overlap=0.25), window_filter=dict(edge_margin=1), batch_size=5)
    result = run(detector, image)[0]
    assert boxes_of(result) == [square(*SMALL), square(*LARGE)]
    assert result.num_views == 5 and len(result.chips) == 5
    # One batch: cells have the size of the whole image's view.
    assert [len(batch) for batch in detector.detector.views] == [5]


def test_scale_net_that_sees_images_at_its_own_size():
    net = SquareScaleNet()
    net.view_wh = lambda size_wh: (64, 64)
    result = run(detector_of(recursive(max_rescales=1), net), painted(IMAGE_WH, SMALL))[0]
    assert result.scale_net_pixels == 64 * 64


def test_bad_maps_are_one_error():
    net = SquareScaleNet()
    net.predict_maps = lambda images: [np.full((5, *i.shape[:2]), np.nan) for i in images]
    with pytest.raises(ValueError, match='a scale map must be finite'):
        run(detector_of(recursive(), net), painted(IMAGE_WH, SMALL))
    net.predict_maps = lambda images: [np.zeros((5, 4, 4)) for _ in images]
    with pytest.raises(ValueError, match='the scale map of a view of 160x120 px must have'):
        run(detector_of(recursive(), net), painted(IMAGE_WH, SMALL))
    net.predict_maps = lambda images: []
    with pytest.raises(ValueError, match='0 scale maps for 1 views'):
        run(detector_of(recursive(), net), painted(IMAGE_WH, SMALL))


def test_errors_of_maps_name_the_image_and_the_view():
    net = SquareScaleNet()
    good = net.predict_maps

    def bad_at_windows(images):
        return [m * (np.nan if m.shape[-1] == 96 else 1) for m in good(images)]

    net.predict_maps = bad_at_windows
    data = data_of(painted(IMAGE_WH, LARGE), painted(IMAGE_WH, SMALL))
    window = r'the view of \(1, 11, 49, 59\) at 96x96 px: a scale map must be finite'
    with pytest.raises(ValueError, match=f'^image 1, {window}'):
        detector_of(recursive(), net).test_step(data)
    for sample, path in zip(data['data_samples'], ('a.jpg', 'folder/b.jpg')):
        sample.set_metainfo(dict(img_path=path))
    with pytest.raises(ValueError, match=f'^folder/b.jpg, {window}'):
        detector_of(recursive(), net).test_step(data)
    net.predict_maps = lambda images: []
    with pytest.raises(ValueError, match='^a.jpg: the scale net gave 0 scale maps for 1 views'):
        detector_of(recursive(), net).test_step(data)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(generator=recursive()), 'RecursiveChips looks at images before it cuts and needs'),
        (dict(generator=PyramidChips([1.0]), net=SquareScaleNet()), 'scale_net has no effect: PyramidChips'),
        (dict(generator=PyramidChips([1.0]), match=dict()), 'needs a scale_net'),
        (dict(generator=GridChips(), scale_range=[(0, 9)] * 5, window_filter=dict()), 'needs one scale_range'),
        (dict(generator=recursive(), net=SquareScaleNet(), match=dict(tolerance=-1)), 'tolerance'),
        (dict(generator=recursive(), net=SquareScaleNet(), match=dict(near=1)), 'unknown keys'),
        (dict(generator=recursive(), net=SquareScaleNet(), window_filter=dict(edge=1)), 'unknown keys'),
    ],
)
def test_bad_options_are_errors(options, message):
    with pytest.raises(ValueError, match=message):
        detector_of(**options)


# Around real detectors, from configs


def wrapper_cfg(detector=None, **scale_net):
    return ConfigDict(
        type='ChipDetector',
        detector=detector or tiny_faster_rcnn_cfg(),
        generator=dict(type='RecursiveChips', rule=dict(type='ClassRule'), window=48, margin=8),
        scale_net=dict(type='SquareScaleNet', **scale_net),
        batch_size=4,
    )


@pytest.mark.parametrize('cfg', [tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg])
def test_around_faster_and_mask_rcnn(cfg):
    detector = MODELS.build(wrapper_cfg(cfg()))
    detector.detector = build_tiny_detector(cfg())
    detector = ChipDetector(detector.detector, detector.generator, scale_net=detector.scale_net, batch_size=4).eval()
    image = painted(IMAGE_WH, SMALL, LARGE)
    result = run(detector, image)[0]
    assert result.num_views >= 2 and len(result.pred_instances) > 10
    assert result.pred_instances.view_ids.max() > 0
    if cfg is tiny_mask_rcnn_cfg:
        assert result.pred_instances.masks.shape == (len(result.pred_instances), 120, 160)
    # Nothing predicted: what the plain detector finds in the image alone.
    black = run(detector, np.zeros((120, 160, 3), np.uint8))[0]
    plain = run(ChipDetector(detector.detector, PyramidChips([1.0])).eval(), np.zeros((120, 160, 3), np.uint8))[0]
    assert black.num_views == 1
    assert torch.equal(black.pred_instances.bboxes, plain.pred_instances.bboxes)
    assert torch.equal(black.pred_instances.scores, plain.pred_instances.scores)


def save(path, module, **changes):
    state_dict = {**module.state_dict(), **changes}
    torch.save(dict(state_dict=state_dict), path)
    return str(path)


@pytest.fixture
def checkpoints(tmp_path):
    net = SquareScaleNet(num_weights=3)
    torch.nn.init.constant_(net.weight, 7.0)
    plain = build_tiny_detector(tiny_faster_rcnn_cfg(), seed=3)
    return save(tmp_path / 'plain.pth', plain), save(tmp_path / 'net.pth', net)


def test_plain_checkpoint_and_the_scale_nets_own(checkpoints):
    plain, net = checkpoints
    detector = MODELS.build(wrapper_cfg(num_weights=3, init_cfg=dict(type='Pretrained', checkpoint=net)))
    load_checkpoint(detector, plain, map_location='cpu')
    assert detector.scale_net.weight.tolist() == [7.0] * 3
    saved = torch.load(plain, weights_only=True)['state_dict']
    assert torch.equal(detector.detector.backbone.conv1.weight, saved['backbone.conv1.weight'])


def test_own_checkpoint_has_both(checkpoints, tmp_path):
    plain, net = checkpoints
    detector = MODELS.build(wrapper_cfg(num_weights=3))
    torch.nn.init.constant_(detector.scale_net.weight, 5.0)
    own = save(tmp_path / 'own.pth', detector)
    # The file that init_cfg names is not read where the checkpoint has the weights.
    missing = dict(type='Pretrained', checkpoint='nowhere.pth')
    other = MODELS.build(wrapper_cfg(num_weights=3, init_cfg=missing))
    load_checkpoint(other, own, map_location='cpu')
    assert other.scale_net.weight.tolist() == [5.0] * 3


def test_scale_net_is_loaded_where_no_checkpoint_is(checkpoints):
    detector = MODELS.build(wrapper_cfg(num_weights=3, init_cfg=dict(type='Pretrained', checkpoint=checkpoints[1])))
    run(detector.eval(), painted(IMAGE_WH, SMALL))
    assert detector.scale_net.weight.tolist() == [7.0] * 3


def test_missing_weights_of_the_scale_net_are_errors(checkpoints, tmp_path):
    plain, net = checkpoints
    with pytest.raises(RuntimeError, match='no weights of scale_net; give scale_net.init_cfg'):
        load_checkpoint(MODELS.build(wrapper_cfg(num_weights=3)), plain, map_location='cpu')
    nowhere = dict(type='Pretrained', checkpoint=str(tmp_path / 'nowhere.pth'))
    with pytest.raises(FileNotFoundError, match='nowhere.pth'):
        load_checkpoint(MODELS.build(wrapper_cfg(init_cfg=nowhere)), plain, map_location='cpu')
    wrong = dict(type='Pretrained', checkpoint=net)
    with pytest.raises(RuntimeError, match='does not fit scale_net'):
        load_checkpoint(MODELS.build(wrapper_cfg(num_weights=4, init_cfg=wrong)), plain, map_location='cpu')


def test_detector_of_other_classes_than_the_checkpoint(checkpoints):
    plain, net = checkpoints
    cfg = wrapper_cfg(
        tiny_faster_rcnn_cfg(num_classes=7), num_weights=3, init_cfg=dict(type='Pretrained', checkpoint=net)
    )
    with pytest.raises(RuntimeError, match='size mismatch for detector.roi_head.bbox_head.fc_cls'):
        load_checkpoint(MODELS.build(cfg), plain, map_location='cpu')


def test_true_boxes_become_tensors_for_the_visualizer():
    data = data_of(painted(IMAGE_WH, SMALL))
    data['data_samples'][0].gt_instances = InstanceData(bboxes=HorizontalBoxes(torch.ones(2, 4)))
    result = detector_of(PyramidChips([1.0])).test_step(data)[0]
    assert type(result.gt_instances.bboxes) is torch.Tensor and result.gt_instances.bboxes.sum() == 8


def test_config_is_not_changed(checkpoints):
    cfg = wrapper_cfg()
    before = copy.deepcopy(cfg)
    MODELS.build(cfg)
    assert cfg == before and cfg.scale_net.type == 'SquareScaleNet'
    assert len(BOUNDS) == 5
