"""``benchmark windows`` and ``benchmark focus``: what is timed, and what is refused."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.structures import DetDataSample
from mmengine.config import Config

from mmisn.chips import GridChips
from mmisn.models.detectors import ChipDetector
from mmisn.testing.benchmarks import focus, windows
from mmisn.testing.detectors import build_tiny_detector, tiny_faster_rcnn_cfg

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'benchmark.py'
CLASSES = ('ship', 'car', 'bird')
GRID = dict(type='GridChips', cells=(2, 2), overlap=0.2)


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('benchmark_of_windows', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def files(tmp_path):
    """Config of a detector behind a grid, its checkpoint, and a folder with three pictures."""
    detector = build_tiny_detector(tiny_faster_rcnn_cfg())
    model = dict(type='ChipDetector', detector=tiny_faster_rcnn_cfg(), generator=GRID, batch_size=4)
    dataset = dict(type='CocoDataset', metainfo=dict(classes=CLASSES))
    Config(dict(default_scope='mmdet', model=model, test_dataloader=dict(dataset=dataset))).dump(
        str(tmp_path / 'grid.py')
    )
    torch.save(dict(state_dict=detector.state_dict()), tmp_path / 'd.pth')
    (tmp_path / 'in').mkdir()
    for i in range(3):
        cv2.imwrite(str(tmp_path / 'in' / f'{i}.png'), np.full((48, 64, 3), 40 * i, np.uint8))
    return [str(tmp_path / name) for name in ('grid.py', 'd.pth', 'in')]


def test_batches_and_single_views_of_the_same_run(monkeypatch):
    detector = build_tiny_detector(tiny_faster_rcnn_cfg())
    model = ChipDetector(detector, GridChips((2, 2), 0.2), batch_size=4).eval()
    model.dataset_meta = dict(classes=CLASSES)
    seen = []
    inner = model.detector.test_step
    monkeypatch.setattr(model.detector, 'test_step', lambda data: seen.append(len(data['inputs'])) or inner(data))
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)

    ways = ['in batches of up to 4', 'on canvases of up to 512 px']

    def interleaved(functions, items, rounds):
        assert list(functions) == ['single', *ways] and len(items) == 2 and rounds == 3
        for function in functions.values():
            function(items[0])
        return dict(zip(functions, (1.25, 0.5, 0.25)))

    monkeypatch.setattr(windows, 'interleaved', interleaved)
    row, packed = windows.windows_rows(model, [picture, picture], 3, 'grid')
    # Five views of 64x48 px one by one; four together and the fifth; one canvas; then both pictures to count views.
    assert seen == [*[1] * 5, 4, 1, 1, *[4, 1] * 2]
    assert row.ratio == 2.5 and row.ours == '0.500 s' and row.yardstick == 'one view at a time, 1.250 s'
    assert '5.0 views, in batches of up to 4: grid, 2 pictures' in row.what
    assert packed.ratio == 5 and 'on canvases of up to 512 px' in packed.what
    assert (model.batch_size, model.packing) == (4, None)
    model.batch_size = 1
    ways.pop(0)
    (packed,) = windows.windows_rows(model, [picture, picture], 3, 'grid')
    assert packed.ratio == 2.5
    model.view_masks = object()  # as a detector with masks has
    with pytest.raises(ValueError, match='grid: batch_size is 1, there is nothing to compare'):
        windows.windows_rows(model, [picture], 1, 'grid')


def test_by_the_command_line(tool, files, tmp_path, capsys):
    config, checkpoint, folder = files
    tool.main(['windows', '--detector', config, checkpoint, '--pictures', folder, '--rounds', '1'])
    line = next(line for line in capsys.readouterr().out.splitlines() if 'views' in line)
    assert '5.0 views, in batches of up to 4: grid, 3 pictures' in line and 'x as fast' in line


def test_seconds_and_pixels_of_focus_against_those_of_the_pyramid(tool, files, tmp_path, monkeypatch, capsys):
    config, checkpoint, folder = files
    cfg = Config.fromfile(config)
    cfg.model.generator = dict(type='PyramidChips', factors=[1.0, 2.0])
    cfg.dump(str(tmp_path / 'pyramid.py'))
    rounds = []

    def interleaved(functions, items, number):
        rounds.append((number, [function(items[0]).num_views for function in functions.values()], len(items)))
        return dict(focus=0.125, pyramid=0.5)

    monkeypatch.setattr(focus, 'interleaved', interleaved)
    argv = ['focus', '--detector', config, checkpoint, '--pyramid', str(tmp_path / 'pyramid.py'), '--pictures', folder]
    tool.main([*argv, '--rounds', '2', '--out', str(tmp_path / 'table')])
    assert rounds == [(2, [5, 2], 3)]  # the grid stands in for focus here
    seconds, pixels = (tmp_path / 'table.csv').read_text().splitlines()[1:]
    assert 'picture: grid, 3 pictures' in seconds and '"pyramid, 0.500 s"' in seconds
    assert seconds.endswith(',0.25,x the time,at most 0.333333,True')
    # Five views of the picture's size; the picture and four times its pixels.
    assert pixels.split(',')[-4:] == ['1.0', 'x as many', 'at most 0.333333', 'False']
    assert 'MISSED' in capsys.readouterr().out


def test_pixels_of_the_scale_net_count():
    sample = DetDataSample(metainfo=dict(view_pixels=3_000_000, scale_net_pixels=500_000))
    assert focus._megapixels(sample) == 3.5
    assert focus._megapixels(DetDataSample(metainfo=dict(view_pixels=3_000_000))) == 3


def test_pictures_are_chosen_evenly(files):
    config, checkpoint, folder = files
    chosen = windows.WindowsDetector(config, checkpoint, None, folder, number=2).read()
    assert [picture[0, 0, 0] for picture in chosen] == [0, 80]
    assert len(windows.WindowsDetector(config, checkpoint, None, folder, number=9).read()) == 3


@pytest.mark.parametrize(
    ('argv', 'message'),
    [
        (['windows'], 'windows needs both --detector CONFIG CHECKPOINT and --pictures FOLDER'),
        (['merging', '--pictures', 'x'], 'windows needs both'),
        (['focus', '--detector', 'c', 'p', '--pictures', 'x'], 'focus needs --detector CONFIG CHECKPOINT, --pyramid'),
        (['merging', '--scale-net', 'x.pth'], '--scale-net needs --detector'),
    ],
)
def test_arguments_that_miss_others(tool, argv, message, capsys):
    with pytest.raises(SystemExit):
        tool.parse_args(argv)
    assert message in capsys.readouterr().err


def test_all_has_windows_where_there_is_a_detector(tool):
    assert 'windows' not in tool.parse_args(['all']).sections
    given = ['all', '--detector', 'c', 'p', '--pictures', 'f']
    assert tool.parse_args(given).sections[-1] == 'windows'
    assert tool.parse_args([*given, '--pyramid', 'x']).sections[-2:] == ('windows', 'focus')


def test_models_that_do_not_fit(files, tmp_path):
    config, checkpoint, folder = files
    Config(dict(model=tiny_faster_rcnn_cfg())).dump(str(tmp_path / 'plain.py'))
    with pytest.raises(ValueError, match=r"plain\.py: the model must be a ChipDetector, got 'FasterRCNN'"):
        windows.WindowsDetector(str(tmp_path / 'plain.py'), checkpoint, None, folder).build()
    with pytest.raises(
        ValueError, match=r'a checkpoint of a scale net is given \(n\.pth\), but its ChipDetector has none'
    ):
        windows.WindowsDetector(config, checkpoint, 'n.pth', folder).build()
