"""``ChipDetector``: equal to TTA on the same views, loaded wholly or not at all, at home in mmdet's tools."""

import copy
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer, inference_detector, init_detector
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.runner import load_checkpoint
from mmengine.structures import InstanceData

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector, RawImagePreprocessor
from mmisn.models.detectors.chip_detector import equal_size_batches
from mmisn.models.test_time_augs import ScaleRangeTTAModel
from mmisn.structures import Chip, ScaleRange, ViewFilter
from mmisn.testing import real_data_root
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_retinanet_cfg

FACTORS = [2.0, 1.0, 0.5]


class ToyChips:
    """Fixed views: whole images at two factors, with and without flip, and a flipped chip in the middle."""

    def views(self, image_wh, predict=None):
        w, h = image_wh
        whole = [Chip.full(image_wh, (w * 2, h * 2)), Chip.full(image_wh, (w // 2, h // 2))]
        middle = Chip((w // 4, h // 4, w * 3 // 4, h * 3 // 4), (96, 64), flip=True)
        return [c.flipped(f) for c in whole for f in (False, True)] + [middle]


def _image(seed, height, width):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def _data(*images):
    samples = []
    for i, image in enumerate(images):
        shape = image.shape[:2]
        samples.append(DetDataSample(metainfo=dict(img_id=i, img_path=f'{i}.jpg', ori_shape=shape, img_shape=shape)))
    return dict(inputs=[torch.from_numpy(i.transpose(2, 0, 1).copy()) for i in images], data_samples=samples)


def _views_of(image, chips):
    """The same views, made without the detector, as a loader collates the output of ``TestTimeAug``."""
    inputs, samples = [], []
    for chip in chips:
        x1, y1, x2, y2 = chip.xyxy
        view = cv2.resize(np.ascontiguousarray(image[y1:y2, x1:x2]), chip.size_wh, interpolation=cv2.INTER_LINEAR)
        view = cv2.flip(view, 1) if chip.flip else view
        meta = dict(
            ori_shape=image.shape[:2],
            img_shape=view.shape[:2],
            scale_factor=chip.factors,
            flip=chip.flip,
            flip_direction='horizontal' if chip.flip else None,
            chip=chip,
        )
        inputs.append([torch.from_numpy(view.transpose(2, 0, 1).copy())])
        samples.append([DetDataSample(metainfo=meta)])
    return dict(inputs=inputs, data_samples=samples)


def _run(model, data):
    with torch.no_grad():
        return model.test_step(data)


def _assert_equal(result, expected):
    assert len(expected) > 10
    for name in ('bboxes', 'scores', 'labels', 'view_ids', 'view_rows'):
        assert torch.equal(result[name], expected[name]), name


@pytest.mark.parametrize('cfg', [tiny_faster_rcnn_cfg, tiny_retinanet_cfg])
@pytest.mark.parametrize('generator', [ToyChips(), PyramidChips(FACTORS, flips=(False, True))])
@pytest.mark.parametrize(
    'settings',
    [
        dict(scale_range=(16, 64)),
        dict(view_filter=dict(scale_range=(0, 40), edge_margin=2), nms=dict(type='nms', iou_threshold=0.5)),
    ],
)
def test_equals_tta_on_the_same_views(cfg, generator, settings):
    images = [_image(0, 90, 130), _image(1, 64, 48)]
    wrapped = build_tiny_detector(cfg())
    detector = ChipDetector(wrapped, generator, **settings).eval()
    tta = ScaleRangeTTAModel(wrapped, **settings)
    data = _data(*images)
    results = _run(detector, data)
    assert len(results) == 2
    for image, result in zip(images, results):
        height, width = image.shape[:2]
        chips = generator.views((width, height))
        expected = _run(tta, _views_of(image, chips))[0]
        _assert_equal(result.pred_instances, expected.pred_instances)
        assert result.num_views == len(chips) == expected.num_views
        assert result.view_pixels == sum(c.size_wh[0] * c.size_wh[1] for c in chips) == expected.view_pixels
    # What was given is as before; the results are copies.
    assert [set(s.keys()) for s in data['data_samples']] == [set(), set()]
    assert 'num_views' not in data['data_samples'][0]
    assert [r.img_path for r in results] == ['0.jpg', '1.jpg']


def test_equals_tta_on_a_photograph():
    root = real_data_root()
    if root is None:
        pytest.skip('no folder with real data; see mmisn.testing.real_data_root')
    path = min((root / 'coco_mini' / 'images').rglob('*.jpg'))
    image = cv2.imread(str(path))
    wrapped = build_tiny_detector(tiny_faster_rcnn_cfg())
    generator = PyramidChips([1.0, 0.37], flips=(False, True), max_pixels=300 * 300)
    chips = generator.views(image.shape[1::-1])
    assert len(chips) > 4
    settings = dict(view_filter=dict(scale_range=(16, 280), edge_margin=4))
    expected = _run(ScaleRangeTTAModel(wrapped, **settings), _views_of(image, chips))[0]
    result = _run(ChipDetector(wrapped, generator, **settings).eval(), _data(image))[0]
    _assert_equal(result.pred_instances, expected.pred_instances)


def test_views_of_equal_size_in_batches():
    wrapped = build_tiny_detector(tiny_faster_rcnn_cfg())
    sizes = []
    handle = wrapped.backbone.register_forward_pre_hook(lambda module, inputs: sizes.append(tuple(inputs[0].shape)))
    data = _data(_image(0, 64, 96))
    one = _run(ChipDetector(wrapped, ToyChips()).eval(), data)[0].pred_instances
    # Padded to multiples of 32 by the detector's own preprocessor.
    assert sizes == [(1, 3, 128, 192)] * 2 + [(1, 3, 32, 64)] * 2 + [(1, 3, 64, 96)]
    sizes.clear()
    two = _run(ChipDetector(wrapped, ToyChips(), batch_size=4).eval(), data)[0].pred_instances
    handle.remove()
    assert sizes == [(2, 3, 128, 192), (2, 3, 32, 64), (1, 3, 64, 96)]
    assert torch.equal(one.view_ids, two.view_ids)
    torch.testing.assert_close(one.bboxes, two.bboxes, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(one.scores, two.scores, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ('batch_size', 'expected'),
    [(1, [[0], [2], [4], [1], [3]]), (2, [[0, 2], [4], [1], [3]]), (9, [[0, 2, 4], [1], [3]])],
)
def test_equal_size_batches(batch_size, expected):
    sizes = [(8, 4), (4, 8), (8, 4), (4, 4), (8, 4)]
    chips = [Chip((i, 0, 20 + i, 20), size) for i, size in enumerate(sizes)]
    assert equal_size_batches(chips, batch_size) == expected
    assert equal_size_batches([], batch_size) == []


class _Recorder(torch.nn.Module):
    """A detector that remembers the samples it is shown and finds nothing."""

    def __init__(self):
        super().__init__()
        self.samples = []

    def test_step(self, data):
        self.samples += data['data_samples']
        for image, sample in zip(data['inputs'], data['data_samples']):
            assert image.dtype == torch.uint8
            assert tuple(image.shape[1:]) == sample.img_shape
            sample.pred_instances = InstanceData(
                bboxes=torch.zeros(0, 4), scores=torch.zeros(0), labels=torch.zeros(0, dtype=torch.long)
            )
        return data['data_samples']


def test_what_the_wrapped_detector_is_told():
    recorder = _Recorder()
    detector = ChipDetector(recorder, ToyChips(), scale_range=(8, 32), view_test_cfg=None)
    data = _data(_image(0, 40, 60))
    data['data_samples'][0].set_metainfo(dict(text='a cat'))
    result = _run(detector, data)[0]
    assert len(result.pred_instances) == 0
    chips = ToyChips().views((60, 40))
    assert [s.chip for s in recorder.samples] == [chips[i] for i in (0, 1, 2, 3, 4)]
    told = recorder.samples[3].metainfo
    expected = dict(
        img_id=0,
        img_path='0.jpg',
        text='a cat',
        ori_shape=(40, 60),
        img_shape=(20, 30),
        scale_factor=(0.5, 0.5),
        flip=True,
        flip_direction='horizontal',
        chip=chips[3],
        scale_range=(8.0, 32.0),
    )
    assert told == expected
    assert recorder.samples[0].flip_direction is None
    # A range in the original frame is told in view pixels: 80 px of 40 are 16 at factor 2.
    recorder.samples.clear()
    snip = [ScaleRange(8, 80, frame='original')] * 5
    _run(ChipDetector(recorder, ToyChips(), scale_range=snip, view_test_cfg=None), _data(_image(0, 40, 60)))
    assert [s.scale_range for s in recorder.samples][:4] == [(16, 160)] * 2 + [(4, 40)] * 2


def test_no_views_no_detections():
    class Nothing:
        def views(self, image_wh, predict=None):
            return []

    result = _run(ChipDetector(_Recorder(), Nothing(), view_test_cfg=None), _data(_image(0, 9, 9)))[0]
    assert (len(result.pred_instances), result.num_views, result.view_pixels) == (0, 0, 0)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (dict(ori_shape=(40, 80)), 'the original image, 80x40 px, but got 60x40 px'),
        (dict(img_shape=(20, 30)), 'take Resize, Pad and RandomFlip out'),
        (dict(flip=True), 'flip: True'),
    ],
)
def test_images_that_are_not_the_original(change, message):
    data = _data(_image(0, 40, 60))
    data['data_samples'][0].set_metainfo(change)
    with pytest.raises(ValueError, match=message):
        _run(ChipDetector(_Recorder(), ToyChips(), view_test_cfg=None), data)


def test_normalized_images_are_refused():
    detector = ChipDetector(
        _Recorder(), ToyChips(), view_test_cfg=None, data_preprocessor=tiny_faster_rcnn_cfg().data_preprocessor
    )
    with pytest.raises(ValueError, match=r'raw uint8 images, got torch.float32'):
        _run(detector, _data(_image(0, 64, 96)))


@pytest.mark.parametrize(
    ('kwargs', 'message'),
    [
        (dict(batch_size=0), 'batch_size must be at least 1, got 0'),
        (dict(interpolation='cubic'), "interpolation must be one of .* got 'cubic'"),
        (dict(nms=dict(type='x')), 'nms.type must be'),
        (dict(scale_range=(1, 2), view_filter=ViewFilter()), 'not both'),
        (dict(backbone=dict(type='ResNet')), 'backbone must be empty'),
        (dict(), '_Recorder has no roi_head or bbox_head'),
    ],
)
def test_bad_options(kwargs, message):
    with pytest.raises(ValueError, match=message):
        ChipDetector(_Recorder(), ToyChips(), **kwargs)


def test_it_is_for_testing_alone():
    detector = ChipDetector(_Recorder(), ToyChips(), view_test_cfg=None)
    data = _data(_image(0, 9, 9))
    for mode in ('loss', 'tensor'):
        with pytest.raises(NotImplementedError, match='the detector that it wraps'):
            detector(**data, mode=mode)
    with pytest.raises(NotImplementedError, match='the detector that it wraps'):
        detector.extract_feat(None)


def test_raw_images_pass_through():
    data = _data(_image(0, 5, 7))
    passed = RawImagePreprocessor()(data)
    assert passed['inputs'][0] is data['inputs'][0]
    assert RawImagePreprocessor()(dict(inputs=[]))['data_samples'] is None


# Checkpoints


def _wrapper_cfg(**kwargs):
    cfg = dict(
        type='ChipDetector',
        detector=tiny_faster_rcnn_cfg(),
        generator=dict(type='PyramidChips', factors=FACTORS),
        scale_range=(8, 64),
        backbone=dict(),
    )
    return ConfigDict(cfg, **kwargs)


def _build(cfg=None):
    return MODELS.build(copy.deepcopy(cfg or _wrapper_cfg())).eval()


@pytest.fixture(scope='module')
def plain():
    return build_tiny_detector(tiny_faster_rcnn_cfg(), seed=3)


def _save(path, state_dict):
    torch.save(dict(meta=dict(dataset_meta=dict(classes=('a', 'b', 'c'))), state_dict=state_dict), path)
    return str(path)


def _load(loader, model, state_dict, tmp_path):
    if loader == 'mmengine':
        load_checkpoint(model, _save(tmp_path / 'saved.pth', state_dict), map_location='cpu')
    else:
        model.load_state_dict(state_dict, strict=loader == 'torch, strict')


LOADERS = pytest.mark.parametrize('loader', ['mmengine', 'torch', 'torch, strict'])


@LOADERS
@pytest.mark.parametrize('own', [False, True])
def test_takes_the_plain_checkpoint_and_its_own(loader, own, plain, tmp_path):
    wrapper = _build()
    state_dict = ChipDetector(copy.deepcopy(plain), ToyChips()).state_dict() if own else plain.state_dict()
    _load(loader, wrapper, state_dict, tmp_path)
    loaded = wrapper.detector.state_dict()
    assert list(loaded) == list(plain.state_dict())
    assert all(torch.equal(loaded[k], v) for k, v in plain.state_dict().items())
    expected = _run(ChipDetector(plain, PyramidChips(FACTORS), scale_range=(8, 64)).eval(), _data(_image(0, 64, 64)))
    _assert_equal(_run(wrapper, _data(_image(0, 64, 64)))[0].pred_instances, expected[0].pred_instances)


@LOADERS
def test_missing_weights_raise(loader, plain, tmp_path):
    state_dict = {k: v for k, v in plain.state_dict().items() if not k.startswith('roi_head.bbox_head.fc_cls')}
    with pytest.raises(
        RuntimeError, match=r'lacks 2 weights of ChipDetector, among them detector.roi_head.bbox_head.fc_cls'
    ):
        _load(loader, _build(), state_dict, tmp_path)
    # Of another model, in a whole.
    with pytest.raises(RuntimeError, match='Is it the checkpoint of another model'):
        _load(loader, _build(), dict(weight=torch.zeros(3)), tmp_path)


@LOADERS
def test_weights_of_another_shape_raise(loader, plain, tmp_path):
    state_dict = build_tiny_detector(tiny_faster_rcnn_cfg(num_classes=7)).state_dict()
    with pytest.raises(
        RuntimeError, match='does not fit ChipDetector: size mismatch for detector.roi_head.bbox_head.fc_cls'
    ):
        _load(loader, _build(), state_dict, tmp_path)


@pytest.mark.parametrize('loader', ['mmengine', 'torch'])
def test_old_checkpoints_without_counters_load(loader, plain, tmp_path):
    state_dict = {k: v for k, v in plain.state_dict().items() if not k.endswith('num_batches_tracked')}
    wrapper = _build()
    _load(loader, wrapper, state_dict, tmp_path)
    assert torch.equal(wrapper.detector.backbone.conv1.weight, plain.backbone.conv1.weight)


def test_unexpected_weights_are_reported(plain, tmp_path):
    state_dict = dict(plain.state_dict(), stray=torch.zeros(1))
    unexpected = _build().load_state_dict(state_dict, strict=False).unexpected_keys
    assert unexpected == ['detector.stray']
    with pytest.raises(RuntimeError, match='Unexpected key.*detector.stray'):
        _build().load_state_dict(state_dict)


def test_inside_another_module(plain):
    holder = torch.nn.ModuleDict(dict(other=torch.nn.Linear(2, 2), chips=_build()))
    state_dict = {f'chips.{k}': v for k, v in plain.state_dict().items()}
    # The other module's missing weights are not the business of the chip detector.
    result = holder.load_state_dict(state_dict, strict=False)
    assert result.missing_keys == ['other.weight', 'other.bias']
    assert torch.equal(holder.chips.detector.backbone.conv1.weight, plain.backbone.conv1.weight)
    with pytest.raises(RuntimeError, match='lacks 1 weights of ChipDetector, among them chips.detector.backbone.conv1'):
        holder.load_state_dict({k: v for k, v in state_dict.items() if 'backbone.conv1' not in k}, strict=False)


def test_given_state_dict_is_not_changed(plain):
    state_dict = plain.state_dict()
    before = list(state_dict)
    _build().load_state_dict(state_dict)
    assert list(state_dict) == before


# mmdet's tools


@pytest.fixture
def config(tmp_path, plain):
    classes = ('a', 'b', 'c')
    pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
    ]
    dataset = dict(
        type='CocoDataset', metainfo=dict(classes=classes, palette=[(9, 9, 9)] * 3), pipeline=pipeline, test_mode=True
    )
    cfg = Config(
        dict(
            default_scope='mmdet',
            custom_imports=dict(imports=['mmisn']),
            model=_wrapper_cfg(),
            test_dataloader=dict(dataset=dataset),
            test_cfg=dict(type='TestLoop'),
            visualizer=dict(type='DetLocalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        )
    )
    path = tmp_path / 'config.py'
    cfg.dump(str(path))
    return str(path), _save(tmp_path / 'plain.pth', plain.state_dict())


@pytest.mark.filterwarnings('ignore')
def test_det_inferencer_and_init_detector(config, plain, tmp_path):
    image = _image(4, 70, 90)
    path = str(Path(tmp_path) / 'picture.png')
    cv2.imwrite(path, image)
    expected = _run(ChipDetector(plain, PyramidChips(FACTORS), scale_range=(8, 64)).eval(), _data(image))[0]
    expected = expected.pred_instances
    assert len(expected) > 10

    inferencer = DetInferencer(model=config[0], weights=config[1], device='cpu', show_progress=False)
    found = inferencer(path, return_datasamples=True, no_save_vis=True)['predictions'][0]
    assert torch.equal(found.pred_instances.bboxes, expected.bboxes)
    assert torch.equal(found.pred_instances.scores, expected.scores)
    assert found.view_pixels == 90 * 70 * (4 + 1) + 45 * 35
    assert inferencer.model.dataset_meta['classes'] == ('a', 'b', 'c')
    as_dict = inferencer(path, no_save_vis=True)['predictions'][0]
    np.testing.assert_allclose(as_dict['bboxes'], expected.bboxes.numpy())

    model = init_detector(config[0], config[1], device='cpu')
    assert model.dataset_meta['classes'] == ('a', 'b', 'c')
    # Files first: given an array, inference_detector changes the loader in the model's config for good.
    assert torch.equal(inference_detector(model, [path])[0].pred_instances.scores, expected.scores)
    assert torch.equal(inference_detector(model, image).pred_instances.bboxes, expected.bboxes)


def test_gaps_between_the_levels_are_named():
    cfg = dict(
        type='ChipDetector',
        detector=tiny_faster_rcnn_cfg(),
        generator=dict(type='PyramidChips', factors=[4, 0.25]),
        scale_range=(16, 100),
    )
    # [16, 100] is [4, 25] at factor 4 and [64, 400] at factor 0.25.
    with pytest.warns(UserWarning, match=r'objects of scale \(25, 64\) original px'):
        MODELS.build(cfg)
