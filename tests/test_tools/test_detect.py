"""``detect``: its results against a ``ChipDetector`` run by hand, and what it does with bad input."""

import importlib.util
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config
from mmengine.structures import InstanceData
from pycocotools.coco import COCO

from mmisn.chips import PyramidChips
from mmisn.models.detectors import ChipDetector
from mmisn.models.detectors.wrap import tta_view_settings, wrap_in_chip_detector
from mmisn.testing.detectors import (
    build_tiny_detector,
    tiny_faster_rcnn_cfg,
    tiny_fcos_cfg,
    tiny_retinanet_cfg,
)

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'detect.py'
CONFIGS = TOOL.parents[1] / 'configs'
CLASSES = ('ship', 'car', 'bird')
PALETTE = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('detect', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them in a subfolder, and what should be passed over."""
    pictures = tmp_path / 'pictures_in'
    (pictures / 'sub').mkdir(parents=True)
    for i, name in enumerate(('a.png', 'c.png', 'sub/d.png')):
        pixels = np.random.default_rng(i).integers(0, 256, (60 + 8 * i, 90, 3), np.uint8)
        cv2.imwrite(str(pictures / name), pixels)
    (pictures / 'b.jpg').write_text('no picture')
    whole = cv2.imencode('.jpg', np.random.default_rng(9).integers(0, 256, (200, 200, 3), np.uint8))[1].tobytes()
    (pictures / 'e.jpg').write_bytes(whole[: len(whole) // 2])
    (pictures / 'notes.txt').write_text('not looked at')
    return pictures


def _save(tmp_path, cfg, meta=True, **changes):
    """Config and checkpoint of a tiny detector."""
    model = build_tiny_detector(cfg)
    whole = dict(default_scope='mmdet', model=cfg, **changes)
    content = dict(state_dict=model.state_dict(), meta={})
    if meta:
        content['meta'] = dict(dataset_meta=dict(CLASSES=CLASSES))
    torch.save(content, tmp_path / 'tiny.pth')
    return model, Config(whole), tmp_path / 'tiny.pth'


def _by_hand(model, folder, names, generator, **settings):
    detector = ChipDetector(model, generator, **settings).eval()
    found = []
    for name in names:
        pixels = cv2.imread(str(folder / name))
        shape = pixels.shape[:2]
        sample = DetDataSample(metainfo=dict(ori_shape=shape, img_shape=shape))
        with torch.no_grad():
            result = detector.test_step(
                dict(inputs=[torch.from_numpy(pixels.transpose(2, 0, 1).copy())], data_samples=[sample])
            )[0]
        boxes = result.pred_instances.bboxes.double().numpy()
        xywh = np.concatenate((boxes[:, :2], boxes[:, 2:] - boxes[:, :2]), axis=1)
        found.append((xywh, result.pred_instances.scores.numpy(), result.pred_instances.labels.numpy()))
    return found


@pytest.mark.parametrize('cfg', [tiny_faster_rcnn_cfg, tiny_retinanet_cfg, tiny_fcos_cfg])
def test_same_as_by_hand(tool, folder, tmp_path, cfg):
    model, config, checkpoint = _save(tmp_path, cfg())
    out = tmp_path / 'out'
    views = dict(levels=[2.0, (60, 60)], scale_range=(2, 300), flip=True, batch_size=2)
    summary = tool.detect_folder(config, checkpoint, folder, out, device='cpu', **views)
    names = ['a.png', 'c.png', 'sub/d.png']
    generator = PyramidChips([2.0, (60, 60)], flips=(False, True))
    expected = _by_hand(model, folder, names, generator, scale_range=(2, 300), batch_size=2)
    results = json.loads((out / 'results.json').read_text())
    images = json.loads((out / 'images.json').read_text())
    # Ids are indices of all picture files by name: a.png, b.jpg (broken), c.png, e.jpg (cut off), sub/d.png.
    assert [(i['id'], i['file_name'], i['width'], i['height']) for i in images['images']] == [
        (0, 'a.png', 90, 60),
        (2, 'c.png', 90, 68),
        (4, 'sub/d.png', 90, 76),
    ]
    assert images['categories'] == [dict(id=i, name=c) for i, c in enumerate(CLASSES)]
    for image_id, (boxes, scores, labels) in zip((0, 2, 4), expected):
        own = [r for r in results if r['image_id'] == image_id]
        assert len(own) == len(boxes) > 0
        np.testing.assert_array_equal([r['bbox'] for r in own], boxes)
        np.testing.assert_array_equal(np.float32([r['score'] for r in own]), scores)
        assert [r['category_id'] for r in own] == labels.tolist()
    assert summary.num_images == 3 and summary.num_detections == len(results)
    sizes = [c.num_pixels for h in (60, 68, 76) for c in generator.views((90, h))]
    assert summary.megapixels == pytest.approx(sum(sizes) / 1e6)
    assert sorted(summary.skipped) == ['b.jpg', 'e.jpg']
    assert 'cannot identify' in summary.skipped['b.jpg'] and summary.skipped['e.jpg'] == 'is truncated'
    loaded = COCO(str(out / 'images.json')).loadRes(str(out / 'results.json'))
    assert len(loaded.getAnnIds()) == len(results)
    assert str(summary).splitlines()[-2] == '2 pictures skipped'
    assert str(summary).splitlines()[-1].startswith(f'3 images, {len(results)} detections, ')


def test_pictures(tool, folder, tmp_path):
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg(), test_dataloader=_dataset(palette=PALETTE))
    out = tmp_path / 'out'
    tool.detect_folder(config, checkpoint, folder, out, device='cpu', levels=[1.0], score_thr=0.0)
    drawn = cv2.imread(str(out / 'pictures' / 'sub' / 'd.png'))
    # 90 px wide: enlarged seven times, so that labels are readable.
    assert drawn.shape == (76 * 7, 90 * 7, 3)
    plain = cv2.resize(cv2.imread(str(folder / 'sub' / 'd.png')), None, fx=7, fy=7, interpolation=cv2.INTER_CUBIC)
    changed = (drawn != plain).any(axis=-1)
    assert changed.mean() > 0.01
    # With a threshold nothing reaches, pictures are as they were, enlarged.
    tool.detect_folder(config, checkpoint, folder, out, device='cpu', levels=[1.0], score_thr=1.0)
    np.testing.assert_array_equal(cv2.imread(str(out / 'pictures' / 'sub' / 'd.png')), plain)
    # The drawn pictures are no input of the next run, even where the folder holds them.
    summary = tool.detect_folder(config, checkpoint, tmp_path, out, device='cpu', levels=[1.0], score_thr=None)
    assert summary.num_images == 3


def test_drawing_changes_no_sample(tool, tmp_path):
    visualizer = tool.KeypointVisualizer(name='test_detect')
    visualizer.dataset_meta = dict(classes=('a',), palette=[(10, 200, 30)])
    box = torch.tensor([[100.0, 100, 500, 400]])
    instances = DetDataSample()
    instances.pred_instances = InstanceData(bboxes=box.clone(), scores=torch.ones(1), labels=torch.zeros(1).long())
    pixels = np.full((600, 800, 3), 128, np.uint8)
    tool.draw_picture(visualizer, pixels, instances, 0.5, tmp_path / 'p.png')
    drawn = cv2.imread(str(tmp_path / 'p.png'))
    assert drawn.shape == pixels.shape and torch.equal(instances.pred_instances.bboxes, box)
    for y, x in ((250, 500), (400, 300), (250, 100)):
        edge = drawn[y - 2 : y + 3, x - 2 : x + 3].reshape(-1, 3)
        greenest = edge[edge[:, 1].astype(int).argmax()]
        assert greenest[1] > 160 and greenest[0] < 100 and greenest[2] < 100
    assert (drawn[250:260, 250:260] == 128).all()


def _dataset(**metainfo):
    return dict(dataset=dict(type='CocoDataset', metainfo=metainfo))


def _annotations(tmp_path, categories):
    content = dict(
        images=[dict(id=77, file_name='c.png', width=90, height=68)],
        annotations=[],
        categories=[dict(id=i, name=n) for i, n in categories],
    )
    (tmp_path / 'ann.json').write_text(json.dumps(content))
    return tmp_path / 'ann.json'


def test_ids_of_an_annotation_file(tool, folder, tmp_path):
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    run = dict(device='cpu', levels=[1.0], score_thr=None)
    tool.detect_folder(config, checkpoint, folder, tmp_path / 'all', **run)
    plain = [r for r in json.loads((tmp_path / 'all' / 'results.json').read_text()) if r['image_id'] == 2]
    ann_file = _annotations(tmp_path, [(9, 'bird'), (5, 'ship'), (1, 'plane')])
    summary = tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', ann_file=ann_file, **run)
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    known = [r for r in plain if CLASSES[r['category_id']] != 'car']
    assert 0 < len(known) < len(plain)
    assert results == [dict(r, image_id=77, category_id={0: 5, 2: 9}[r['category_id']]) for r in known]
    assert summary.num_unmapped == len(plain) - len(known)
    assert summary.skipped == dict.fromkeys(('a.png', 'b.jpg', 'e.jpg', 'sub/d.png'), 'not in the annotation file')
    with pytest.raises(ValueError, match='none of the classes'):
        ann_file = _annotations(tmp_path, [(1, 'plane')])
        tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', ann_file=ann_file, **run)


def test_classes(tool, folder, tmp_path):
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    run = dict(device='cpu', levels=[1.0], score_thr=None, max_per_img=1000)
    tool.detect_folder(config, checkpoint, folder, tmp_path / 'all', **run)
    tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', classes=['bird'], **run)
    everything, birds = (json.loads((tmp_path / d / 'results.json').read_text()) for d in ('all', 'out'))
    assert 0 < len(birds) < len(everything)
    assert birds == [r for r in everything if r['category_id'] == 2]
    with pytest.raises(ValueError, match=r"unknown classes \['fish'\]"):
        tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', classes=['bird', 'fish'], **run)


def test_class_names(tool, folder, tmp_path):
    run = dict(device='cpu', levels=[1.0], score_thr=None)
    _, config, checkpoint = _save(
        tmp_path, tiny_retinanet_cfg(), False, val_dataloader=_dataset(classes=('x', 'y', 'z'))
    )
    tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', **run)
    categories = json.loads((tmp_path / 'out' / 'images.json').read_text())['categories']
    assert [c['name'] for c in categories] == ['x', 'y', 'z']
    # The checkpoint knows what its labels mean; a config that has as many by other names is wrong about it.
    for names in (('x', 'y', 'z'), ('bird', 'ship', 'car')):
        _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg(), val_dataloader=_dataset(classes=names))
        both = rf"\['ship', 'car', 'bird'\] against \['{names[0]}', .* of the config; the checkpoint's are taken"
        with pytest.warns(UserWarning, match=both):
            tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', **run)
        categories = json.loads((tmp_path / 'out' / 'images.json').read_text())['categories']
        assert [c['name'] for c in categories] == list(CLASSES)
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg(), False)
    with pytest.raises(ValueError, match='neither .* nor the config has class names'):
        tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', **run)


def test_incomplete_checkpoint_and_empty_folder(tool, folder, tmp_path):
    model, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    (tmp_path / 'none').mkdir()
    with pytest.raises(ValueError, match='none has no pictures'):
        tool.detect_folder(config, checkpoint, tmp_path / 'none', tmp_path / 'out')
    with pytest.raises(ValueError, match='missing is no folder and no picture'):
        tool.detect_folder(config, checkpoint, tmp_path / 'missing', tmp_path / 'out')
    state = {k: v for k, v in model.state_dict().items() if 'retina_cls' not in k}
    torch.save(dict(state_dict=state, meta=dict(dataset_meta=dict(CLASSES=CLASSES))), checkpoint)
    with pytest.raises(RuntimeError, match='lacks 2 weights'):
        tool.detect_folder(config, checkpoint, folder, tmp_path / 'out', device='cpu')
    assert not (tmp_path / 'out' / 'results.json').exists()


def test_a_single_picture(tool, folder, tmp_path):
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    run = dict(device='cpu', levels=[1.0], score_thr=None)
    tool.detect_folder(config, checkpoint, folder, tmp_path / 'all', **run)
    summary = tool.detect_folder(config, checkpoint, folder / 'sub' / 'd.png', tmp_path / 'out', **run)
    everything, one = (json.loads((tmp_path / d / 'results.json').read_text()) for d in ('all', 'out'))
    images = json.loads((tmp_path / 'out' / 'images.json').read_text())['images']
    assert images == [dict(id=0, file_name='d.png', width=90, height=76)] and summary.num_images == 1
    assert one == [dict(r, image_id=0) for r in everything if r['image_id'] == 4] and len(one) > 0
    with pytest.raises(ValueError, match=r'notes.txt is no picture \(.bmp, '):
        tool.detect_folder(config, checkpoint, folder / 'notes.txt', tmp_path / 'out', **run)


def test_settings_of_the_configs():
    isn = Config.fromfile(CONFIGS / 'isn' / 'isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py')
    settings = tta_view_settings(isn)
    assert settings.levels == (4.0, 2.0, 1.0, 0.5, 0.25) and settings.scale_range == (16, 560)
    multi = tta_view_settings(Config.fromfile(CONFIGS / 'baselines' / 'faster-rcnn_r50_fpn_8xb4-ms-18e_coco.py'))
    assert multi.levels == tuple((4000, s) for s in range(400, 1201, 100)) and multi.scale_range is None
    single = Config.fromfile(CONFIGS / 'baselines' / 'faster-rcnn_r50_fpn_8xb4-18e_coco.py')
    assert tta_view_settings(single) is None
    wrapped, notes = wrap_in_chip_detector(single)
    assert wrapped.generator.factors == (1.0, 2.0) and wrapped.scale_range is None
    assert wrapped.detector == single.model
    assert notes == ['views: x1, x2 (the default); each reports all scales']
    wrapped, _ = wrap_in_chip_detector(isn, levels=[1], scale_range=(0, 99), flip=True, max_pixels=10**6, batch_size=3)
    assert wrapped.generator == dict(type='PyramidChips', factors=(1.0,), flips=(False, True), max_pixels=10**6)
    tiled, _ = wrap_in_chip_detector(isn, levels=[1], scale_range=(0, 99), max_pixels=10**6, overlap=64)
    assert (tiled.generator.max_pixels, tiled.generator.overlap) == (10**6, 64)
    assert wrapped.view_filter == dict(scale_range=(0, 99), edge_margin=2.0) and wrapped.batch_size == 3


def test_flips_of_a_tta_pipeline():
    flip = [dict(type='RandomFlip', prob=1.0), dict(type='RandomFlip', prob=0.0)]
    resize = [dict(type='Resize', scale=(64, 64), keep_ratio=True)]
    tta = dict(type='TestTimeAug', transforms=[resize, flip, [dict(type='PackInstanceInputs')]])
    cfg = Config(dict(tta_model=dict(type='ScaleRangeTTAModel'), tta_pipeline=[dict(type='LoadImageFromFile'), tta]))
    settings = tta_view_settings(cfg)
    assert settings.levels == ((64, 64),) and set(settings.flips) == {False, True}


def test_a_chip_detector_is_taken_as_it_is(tool, folder, tmp_path):
    model, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    generator = dict(type='PyramidChips', factors=[0.5])
    own = Config(dict(model=dict(type='ChipDetector', detector=config.model, generator=generator, scale_range=(4, 30))))
    tool.detect_folder(own, checkpoint, folder, tmp_path / 'out', device='cpu', score_thr=None)
    results = json.loads((tmp_path / 'out' / 'results.json').read_text())
    expected = _by_hand(model, folder, ['a.png'], PyramidChips([0.5]), scale_range=(4, 30))[0]
    np.testing.assert_array_equal([r['bbox'] for r in results if r['image_id'] == 0], expected[0])
    with pytest.raises(ValueError, match=r"ChipDetector already, \{'levels': \[2.0\]\} has no effect"):
        tool.detect_folder(own, checkpoint, folder, tmp_path / 'out', levels=[2.0])


def test_command_line(tool, folder, tmp_path, capsys):
    _, config, checkpoint = _save(tmp_path, tiny_retinanet_cfg())
    config.dump(tmp_path / 'config.py')
    files = [str(tmp_path / 'config.py'), str(checkpoint), str(folder), '--out', str(tmp_path / 'out')]
    tool.main([*files, '--factors', '1', '--range', '0', 'inf', '--no-pictures', '--device', 'cpu'])
    printed = capsys.readouterr().out
    assert 'views: x1 (as given); each reports scales in (0.0, inf) view px' in printed
    assert printed.splitlines()[-1].startswith('3 images, ') and printed.splitlines()[-1].endswith(' s per image')
    assert not (tmp_path / 'out' / 'pictures').exists()
    with pytest.raises(SystemExit, match='error: ScaleRange needs 0 <= lower < upper'):
        tool.main([*files, '--range', '5', '2', '--device', 'cpu'])
    for options, code in ((['--nonsense'], 2), (['--factors', 'big'], 2), (['--help'], 0)):
        with pytest.raises(SystemExit) as error:
            tool.main([*files, *options])
        assert error.value.code == code


def test_tiles_are_told(tool):
    args = tool.parse_args(['c.py', 'w.pth', 'in', '--out', 'out', '--max-pixels', '1000000', '--overlap', '64'])
    assert (args.max_pixels, args.overlap) == (10**6, 64)
