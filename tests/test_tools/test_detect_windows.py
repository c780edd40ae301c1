"""``detect`` and ``wrap_in_chip_detector`` with grids, ScaleNet's windows and the pyramid in focus."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.apis import DetInferencer
from mmdet.registry import MODELS
from mmengine.config import Config

from mmisn.chips import FocusChips, GridChips, RecursiveChips
from mmisn.models.detectors.wrap import restrict_classes, whole_image_alone, wrap_in_chip_detector
from mmisn.models.detectors.wrap_generators import read_scale_net
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg, tiny_mask_rcnn_cfg

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'detect.py'
CLASSES = ('ship', 'car', 'bird')


@MODELS.register_module()
class BrightScaleNet(torch.nn.Module):
    """Bright pixels are objects of class 1, everything else is background."""

    class_bounds = (0.0, 16.0, float('inf'))
    measure = 'sqrt_box'

    def __init__(self, init_cfg=None):
        super().__init__()
        self.init_cfg = init_cfg
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def predict_maps(self, images):
        bright = [(i[..., 0] > 200).astype(np.float32) for i in images]
        return [np.stack((1 - b, b, 0 * b)) for b in bright]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('detect_of_windows', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def picture():
    pixels = np.random.default_rng(0).integers(0, 120, (96, 128, 3), np.uint8)
    pixels[40:48, 60:70] = 255
    return pixels


@pytest.fixture
def files(tmp_path):
    """Config and checkpoint of a tiny detector and of a scale net, and a folder with a picture."""
    detector = build_tiny_detector(tiny_faster_rcnn_cfg())
    pipeline = [dict(type='LoadImageFromFile'), dict(type='Resize', scale=(192, 144), keep_ratio=True)]
    dataset = dict(type='CocoDataset', metainfo=dict(classes=CLASSES, palette=[(9, 9, 9)] * 3), pipeline=pipeline)
    config = Config(dict(default_scope='mmdet', model=tiny_faster_rcnn_cfg(), test_dataloader=dict(dataset=dataset)))
    config.dump(str(tmp_path / 'detector.py'))
    torch.save(
        dict(state_dict=detector.state_dict(), meta=dict(dataset_meta=dict(classes=CLASSES))), tmp_path / 'd.pth'
    )
    Config(dict(model=dict(type='BrightScaleNet'))).dump(str(tmp_path / 'net.py'))
    torch.save(dict(state_dict=BrightScaleNet().state_dict()), tmp_path / 'n.pth')
    (tmp_path / 'in').mkdir()
    cv2.imwrite(str(tmp_path / 'in' / 'a.png'), picture())
    return {
        k: str(tmp_path / v) for k, v in dict(cfg='detector.py', ckpt='d.pth', net='net.py', net_ckpt='n.pth').items()
    }


def test_recursive_by_the_command_line(tool, files, tmp_path, capsys):
    folder, out = str(tmp_path / 'in'), tmp_path / 'out'
    arguments = [files['cfg'], files['ckpt'], folder, '--out', str(out), '--device', 'cpu', '--batch-size', '4']
    arguments += ['--generator', 'recursive', '--scale-net', files['net'], files['net_ckpt'], '--match']
    arguments += ['--generator-options', 'window=64', 'max_rescales=1', 'rule.threshold=0.5']
    tool.main([*arguments, '--draw-windows', '--score-thr', '0.99'])
    printed = capsys.readouterr().out
    # The detector's own size, 192x144 (1.5 times the image); a window of 64 px of it, 44 original px, at x2 of that.
    assert 'views (recursive): 192x144 (the size at which the config tests); each reports all scales' in printed
    assert 'windows: 64 px; each reports scales in (0.0, 40.5) view px' in printed
    assert 'nothing within 2 px of a tile edge' in printed
    assert f'{(192 * 144 + 132 * 132) / 1e6:.2f} Mpix computed and {192 * 144 / 1e6:.2f} by the scale net' in printed
    assert len(json.loads((out / 'results.json').read_text())) > 10
    with_windows = cv2.imread(str(out / 'pictures' / 'a.png')).astype(int)
    tool.main([*arguments, '--score-thr', '0.99'])
    without = cv2.imread(str(out / 'pictures' / 'a.png')).astype(int)
    ys, xs = (with_windows != without).any(axis=-1).nonzero()
    zoom = without.shape[1] / 128
    # Around the bright object in the middle, a square of 44 px.
    assert xs.max() + 1 - xs.min() == pytest.approx(44 * zoom, abs=8)
    assert xs.min() / zoom < 60 and xs.max() / zoom > 70 and ys.min() / zoom < 40 and ys.max() / zoom > 48


def test_with_and_without_side_by_side(tool, files, tmp_path):
    """To the left the whole picture alone, at the generator's level; to the right what is drawn without --compare."""
    arguments = [files['cfg'], files['ckpt'], str(tmp_path / 'in'), '--device', 'cpu', '--score-thr', '0.02']
    recursive = ['--generator', 'recursive', '--scale-net', files['net'], files['net_ckpt'], '--draw-windows']
    recursive += ['--generator-options', 'window=64', 'max_rescales=1', 'rule.threshold=0.5']
    tool.main([*arguments, *recursive, '--compare', '--out', str(tmp_path / 'both')])
    tool.main([*arguments, *recursive, '--out', str(tmp_path / 'with')])
    # The size at which the config tests.
    tool.main([*arguments, '--factors', '192x144', '--out', str(tmp_path / 'without')])
    both, right, left = (cv2.imread(str(tmp_path / n / 'pictures' / 'a.png')) for n in ('both', 'with', 'without'))
    assert [p.name for p in (tmp_path / 'both' / 'pictures').iterdir()] == ['a.png']
    assert both.shape[1] == left.shape[1] + 12 + right.shape[1] and (both[:, left.shape[1] :][:, :12] == 255).all()
    np.testing.assert_array_equal(both[:, : left.shape[1]], left)
    np.testing.assert_array_equal(both[:, -right.shape[1] :], right)
    assert (left != right).any()


def test_what_stands_without_windows(files):
    model = built(files)
    model.dataset_meta = dict(classes=CLASSES)
    restrict_classes(model, ['bird'])
    alone = whole_image_alone(model)
    assert alone.detector is model.detector and alone.scale_net is None and alone.dataset_meta is model.dataset_meta
    assert [c.size_wh for c in alone.generator.views((128, 96))] == [(192, 144)]
    assert alone.view_filters.classes == (2,) and alone.view_filters.edge_margin is None
    assert alone.nms == model.nms and alone.max_per_img == model.max_per_img
    assert isinstance(model.generator, RecursiveChips)


def test_grid_and_focus(tool, files, tmp_path):
    options = dict(device='cpu', score_thr=None)
    places = files['cfg'], files['ckpt'], tmp_path / 'in'
    grid = tool.detect_folder(*places, tmp_path / 'grid', generator='grid', levels=[1.0], **options)
    # Cells have the size of the image's view: 5 views.
    assert grid.megapixels == pytest.approx(5 * 96 * 128 / 1e6, rel=0.03)
    net = read_scale_net(files['net'], files['net_ckpt'])
    focus = tool.detect_folder(
        *places,
        tmp_path / 'focus',
        generator='focus',
        scale_net=net,
        levels=[2.0, 1.0],
        scale_range=(8, 64),
        generator_options={'grid.min_size': 32, 'grid.cell': 8, 'look': 0.5},
        **options,
    )
    assert focus.scale_net_megapixels == pytest.approx(64 * 48 / 1e6)
    assert 0 < focus.megapixels < 0.3 * 5 * 96 * 128 / 1e6


def test_model_that_is_built(files):
    cfg, net = Config.fromfile(files['cfg']), read_scale_net(files['net'], files['net_ckpt'])
    model_cfg, notes = wrap_in_chip_detector(cfg, generator='recursive', scale_net=net, edge_margin=5)
    model = MODELS.build(model_cfg)
    assert isinstance(model.generator, RecursiveChips) and model.generator.level == (192, 144)
    assert model.window_filter.edge_margin == 5 and model.view_filters.edge_margin is None
    model.dataset_meta = dict(classes=CLASSES)
    restrict_classes(model, ['bird'])
    assert model.window_filter.classes == model.view_filters.classes == (2,)
    model = MODELS.build(wrap_in_chip_detector(cfg, generator='grid', generator_options=dict(overlap=0.5))[0])
    assert isinstance(model.generator, GridChips) and model.generator.overlap == 0.5
    chosen = dict(generator='focus', scale_net=net, levels=[2, 1], scale_range=(16, 560), flip=True)
    model = MODELS.build(wrap_in_chip_detector(cfg, **chosen)[0])
    assert isinstance(model.generator, FocusChips) and model.generator.flips == (False, True)
    assert model.view_filters.edge_margin == 2 and model.view_filters.scale_range == model.generator.scale_ranges[0]


def test_small_views_of_focus_are_packed_where_they_can_be(files):
    cfg, net = Config.fromfile(files['cfg']), read_scale_net(files['net'], files['net_ckpt'])
    chosen = dict(generator='focus', scale_net=net, levels=[2, 1], scale_range=(16, 560))
    model_cfg, notes = wrap_in_chip_detector(cfg, **chosen)
    assert MODELS.build(model_cfg).packing.side == 1536
    assert "small views lie side by side on canvases: {'side': 1536}" in notes
    assert wrap_in_chip_detector(cfg, **chosen, packing=None)[0].packing is None
    assert wrap_in_chip_detector(cfg, **chosen, packing=dict(side=64))[0].packing == dict(side=64)
    # Windows of ScaleNet are few and large; masks cannot be packed.
    assert 'packing' not in wrap_in_chip_detector(cfg, generator='grid')[0]
    cfg.model = tiny_mask_rcnn_cfg()
    assert MODELS.build(wrap_in_chip_detector(cfg, **chosen)[0]).packing is None
    assert MODELS.build(wrap_in_chip_detector(cfg, **chosen, masks=False)[0]).packing.side == 1536


def built(files, **options):
    cfg, net = Config.fromfile(files['cfg']), read_scale_net(files['net'], files['net_ckpt'])
    return MODELS.build(wrap_in_chip_detector(cfg, generator='recursive', scale_net=net, **options)[0])


@pytest.mark.parametrize(
    ('level', 'image_wh', 'window', 'margin'),
    [
        # Three quarters, and 8 % of that: 600 and 48 at 800 px, 240 and 19 at 320 px, whatever the picture.
        ((1333, 800), (640, 480), 600, 48),
        ((1333, 800), (2000, 300), 600, 48),
        ((533, 320), (640, 480), 240, 19),
        # A factor's short side is the picture's.
        (1.0, (640, 480), 360, 29),
        (2.0, (480, 640), 720, 58),
        # Four times the edge margin of 2 px at least; no window below 64 px.
        ((192, 144), (128, 96), 108, 9),
        (1.0, (2000, 20), 64, 8),
    ],
)
def test_window_is_three_quarters_of_the_short_side(files, level, image_wh, window, margin):
    generator = built(files, levels=[level]).generator
    settings = generator.settings_of(image_wh)
    assert (settings.size, settings.margin) == (window, margin)


@pytest.mark.parametrize(
    ('options', 'edge_margin', 'window', 'margin'),
    [
        (dict(window=200), None, 200, 16),
        (dict(window=200, margin=0), None, 200, 0),
        (dict(margin=5), None, 108, 5),
        (dict(window=200), 8, 200, 32),
        (dict(window=200), 50, 200, 49),
    ],
)
def test_window_and_margin_as_given(files, options, edge_margin, window, margin):
    generator = built(files, generator_options=options, edge_margin=edge_margin).generator
    settings = generator.settings_of((128, 96))
    assert (settings.size, settings.margin) == (window, margin)


def test_windows_have_the_papers_range(files):
    """225 px at 800 px, as in the configs: 144 px of the 512 px that the paper's ScaleNet sees."""
    model = built(files, levels=[(1333, 800)])
    assert (model.window_filter.scale_range.lower, model.window_filter.scale_range.upper) == (0, 225)
    assert model.view_filters.scale_range.upper == float('inf')
    for options, upper in (
        (dict(levels=[1.0]), float('inf')),
        (dict(levels=[1.0], window_range=(0, 50)), 50),
        (dict(levels=[(1333, 800)], window_range=None), float('inf')),
        (dict(levels=[(1333, 800)], scale_range=(0, 99)), 99),
        (dict(levels=[(1333, 800)], scale_range=(0, 99), window_range=(0, 50)), 50),
    ):
        assert built(files, **options).window_filter.scale_range.upper == upper


def test_window_range_by_the_command_line(tool, files, tmp_path, capsys):
    arguments = [files['cfg'], files['ckpt'], str(tmp_path / 'in'), '--out', str(tmp_path / 'out'), '--device', 'cpu']
    arguments += ['--no-pictures', '--no-flip']
    chosen = [*arguments, '--generator', 'recursive', '--scale-net', files['net'], files['net_ckpt']]
    tool.main([*chosen, '--window-range', '3', '30'])
    printed = capsys.readouterr().out
    assert "windows: three quarters of the level's short side; each reports scales in (3.0, 30.0) view px" in printed
    with pytest.raises(SystemExit, match="generator 'grid' does not take a window_range"):
        tool.main([*arguments, '--generator', 'grid', '--window-range', '0', '30'])
    with pytest.raises(SystemExit, match="generator 'pyramid' does not take a window_range"):
        tool.main([*arguments, '--window-range', '0', '30'])


def test_windows_report_nothing_beyond_their_range(tool, files, tmp_path):
    """Boxes of windows are those of the run without the rule, without the large ones."""
    net = read_scale_net(files['net'], files['net_ckpt'])
    places = files['cfg'], files['ckpt'], tmp_path / 'in'
    options = dict(device='cpu', score_thr=None, generator='recursive', scale_net=net, nms=None, max_per_img=10_000)
    results = []
    for name, upper in (('all', float('inf')), ('some', 50)):
        once = dict(window_range=(0, upper), generator_options=dict(max_rescales=1, window=72))
        tool.detect_folder(*places, tmp_path / name, **once, **options)
        results.append(json.loads((tmp_path / name / 'results.json').read_text()))
    everything, some = ({tuple(r['bbox']) for r in found} for found in results)
    # A window is seen at three times the picture: 1.5 for the level, 2 for the rescaling.
    small = {box for box in everything if 3 * (box[2] * box[3]) ** 0.5 <= 50}
    assert some < everything and small and small <= some
    # The others are boxes of the whole picture, which may report all.
    plain = tool.detect_folder(*places, tmp_path / 'plain', generator_options=dict(max_rescales=0), **options)
    whole = {tuple(r['bbox']) for r in json.loads((tmp_path / 'plain' / 'results.json').read_text())}
    assert some - small <= whole and plain.num_detections == len(whole)


@pytest.mark.parametrize('flip', [False, None])
@pytest.mark.parametrize('generator', ['grid', 'recursive'])
def test_not_to_flip_is_no_option_of_a_pyramid_alone(files, generator, flip):
    cfg = Config.fromfile(files['cfg'])
    net = read_scale_net(files['net'], files['net_ckpt']) if generator == 'recursive' else None
    chosen = dict(generator=generator, scale_net=net)
    assert wrap_in_chip_detector(cfg, flip=flip, **chosen) == wrap_in_chip_detector(cfg, **chosen)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (dict(generator='other'), "unknown generator 'other'"),
        (dict(generator='recursive'), "generator 'recursive' needs a scale net"),
        (dict(generator='grid', scale_net=dict(type='BrightScaleNet')), 'does not use a scale net'),
        (dict(scale_net=dict(type='BrightScaleNet')), 'does not use a scale net'),
        (dict(generator='grid', max_pixels=9), "does not take {'max_pixels': 9}"),
        (dict(generator='grid', flip=True), "does not take {'flip': True}"),
        (dict(generator='grid', levels=[1, 2]), 'takes one level'),
        (dict(generator='focus', scale_net=dict(type='BrightScaleNet')), 'needs one scale_range, got None'),
    ],
)
def test_bad_options(files, options, message):
    with pytest.raises(ValueError, match=message):
        wrap_in_chip_detector(Config.fromfile(files['cfg']), **options)


def test_missing_files_of_the_scale_net(files, tmp_path):
    with pytest.raises(FileNotFoundError, match='no checkpoint .*nowhere.pth'):
        read_scale_net(files['net'], tmp_path / 'nowhere.pth')
    Config(dict(a=1)).dump(str(tmp_path / 'empty.py'))
    with pytest.raises(ValueError, match='no "model"'):
        read_scale_net(tmp_path / 'empty.py', files['net_ckpt'])


@pytest.mark.filterwarnings('ignore')
def test_det_inferencer_shows_the_windows(files, tmp_path):
    cfg, net = Config.fromfile(files['cfg']), read_scale_net(files['net'], files['net_ckpt'])
    options = dict(window=40, max_rescales=1)
    wrapped, _ = wrap_in_chip_detector(cfg, generator='recursive', scale_net=net, generator_options=options)
    cfg.model = dict(wrapped, backbone=dict())
    cfg.test_dataloader.dataset.pipeline = [
        dict(type='LoadImageFromFile'),
        dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape')),
    ]
    cfg.visualizer = dict(type='WindowVisualizer', vis_backends=[dict(type='LocalVisBackend')], name='inferencer')
    cfg.custom_imports = dict(imports=['mmisn'])
    cfg.test_cfg = dict(type='TestLoop')
    cfg.dump(str(tmp_path / 'wrapped.py'))
    inferencer = DetInferencer(str(tmp_path / 'wrapped.py'), files['ckpt'], device='cpu', show_progress=False)
    found = inferencer(str(tmp_path / 'in' / 'a.png'), return_vis=True, return_datasamples=True, pred_score_thr=1.1)
    sample, drawn = found['predictions'][0], found['visualization'][0]
    assert sample.num_views == len(sample.chips) == 2
    x1, y1, x2, y2 = sample.chips[1].xyxy
    changed = (drawn != picture()[..., ::-1]).any(axis=-1)
    assert changed[y1:y2, x1].all() and changed[y1, x1:x2].all() and not changed[: y1 - 1].any()
