"""``suggest_range``: what it writes for annotation files and configs, and its errors."""

import csv
import importlib.util
import json
import math
from pathlib import Path

import cv2
import pytest
from mmengine.config import Config

from mmisn.testing import real_data_root

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'suggest_range.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('suggest_range', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _write(path, sides, **changes):
    """Squares of the given sides in images of 1000x800 px, one crowd, one box off the image, one without area."""
    anns = [dict(id=i + 1, image_id=i % 4, category_id=1, bbox=[10, 10, s, s], area=s * s) for i, s in enumerate(sides)]
    anns.append(dict(id=900, image_id=0, category_id=1, bbox=[0, 0, 700, 700], area=490000, iscrowd=1))
    anns.append(dict(id=901, image_id=0, category_id=1, bbox=[1200, 0, 50, 50], area=2500))
    anns.append(dict(id=902, image_id=0, category_id=1, bbox=[5, 5, 0, 50], area=1))
    anns = [dict(dict(iscrowd=0, segmentation=[]), **a) for a in anns]
    images = [dict(id=i, file_name=f'{i}.jpg', width=1000, height=800) for i in range(4)]
    content = dict(dict(images=images, annotations=anns, categories=[dict(id=1, name='a')]), **changes)
    path.write_text(json.dumps(content))
    return path


def _run(tool, source, out, *options):
    tool.main([str(source), '--out', str(out), *map(str, options)])
    with open(out / 'suggestion.csv') as file:
        return Config.fromfile(out / 'suggestion.py'), list(csv.DictReader(file))


def test_of_annotations(tool, tmp_path, capsys):
    # 90 objects of 20 px need x2 (40 px), 30 of 400 px need x0.25 (100 px).
    path = _write(tmp_path / 'a.json', [20] * 90 + [400] * 30)
    lines, rows = _run(tool, path, tmp_path / 'out')
    assert lines.factors == (2.0, 1.0, 0.5, 0.25)
    assert lines.scale_range == (32, 560)
    assert lines.train_dataloader.dataset.generator == dict(
        type='CoverChips', factors=lines.factors, scale_range=(32, 560), chip_size=576
    )
    assert lines.tta_model.scale_range == (32, 560)
    views = lines.tta_pipeline[1].transforms[0]
    assert [v.generator.factors for v in views] == [[2.0], [1.0], [0.5], [0.25]]
    assert [r['in range %'] for r in rows] == ['75.0', '25.0', '25.0', '25.0', '100.0']
    assert [r['at this level only %'] for r in rows] == ['75.0', '0.0', '0.0', '0.0', '']
    assert [r['Mpx per image'] for r in rows] == ['3.2', '0.8', '0.2', '0.05', '4.25']
    text = (tmp_path / 'out' / 'suggestion.md').read_text()
    assert '120 objects of 4 images' in text
    assert '- 1 annotations left out: crowds' in text
    assert '- 1 annotations left out: a box that lies off the image' in text
    assert '- 1 annotations left out: a box with a side below 1 px' in text
    assert text.strip() in capsys.readouterr().out
    assert cv2.imread(str(tmp_path / 'out' / 'suggestion.png')).shape[1] == 1210


def test_of_a_config(tool, tmp_path):
    path = _write(tmp_path / 'a.json', [10] * 10 + [160] * 30)
    (tmp_path / 'c.py').write_text(
        "train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=dict(type='ChipDataset', "
        "generator=dict(type='CoverChips', factors=[1.0], scale_range=(16, 200), chip_size=288), pipeline=[], "
        f"dataset=dict(type='CocoDataset', ann_file={str(path)!r}, metainfo=dict(classes=('a',)), "
        "data_prefix=dict(img='')))))\n"
    )
    # Chips of 288 px halve all numbers: 10 px are comfortable at x2 (20 px), 160 px at x0.5 (80 px).
    lines, _ = _run(tool, tmp_path / 'c.py', tmp_path / 'out')
    assert lines.factors == (2.0, 1.0, 0.5)
    assert lines.scale_range == (16, 280)
    assert lines.train_dataloader.dataset.generator.chip_size == 288
    lines, _ = _run(tool, tmp_path / 'c.py', tmp_path / 'given', '--chip-size', 576, '--factors', 0.5, 1)
    assert lines.factors == (1.0, 0.5)
    # The 10 px stay below 16 px, and objects of 160 px are in any range.
    assert lines.scale_range == (8, 560)
    lines, _ = _run(tool, tmp_path / 'c.py', tmp_path / 'range', '--range', 40, 80)
    assert lines.scale_range == (40, 80)
    assert lines.factors == (4.0, 2.0, 1.0, 0.5)


def test_photographs(tool, tmp_path):
    root = real_data_root()
    if root is None:
        pytest.skip('no folder with real data; see mmisn.testing.real_data_root')
    path = root / 'coco_mini' / 'annotations' / 'instances_train.json'
    lines, rows = _run(tool, path, tmp_path / 'out')
    # The paper's numbers for COCO.
    assert lines.factors == (4.0, 2.0, 1.0, 0.5, 0.25)
    assert lines.scale_range == (16, 560)
    anns = [a for a in json.loads(path.read_text())['annotations'] if not a['iscrowd'] and min(a['bbox'][2:]) >= 1]
    share = sum(4 * math.sqrt(a['bbox'][2] * a['bbox'][3]) >= 16 for a in anns) / len(anns)
    assert float(rows[-1]['in range %']) == pytest.approx(100 * share, abs=0.11)


def test_errors(tool, tmp_path):
    path = _write(tmp_path / 'a.json', [20])
    for options, message in (
        (['--coverage', '2'], r'error: coverage is a share of the objects, in \(0, 1\], got 2.0'),
        (['--range', '9', '5'], r'error: ScaleRange needs 0 <= lower < upper, got \[9.0, 5.0\]'),
        (['--factors', '0'], 'error: the factor of a level must be positive and finite'),
    ):
        with pytest.raises(SystemExit, match=message):
            tool.main([str(path), '--out', str(tmp_path / 'p'), *options])
    with pytest.raises(SystemExit) as error:
        tool.main([str(path), '--out', str(tmp_path / 'p'), '--range', '9', '50', '--factors', '1'])
    assert error.value.code == 2
    for name, changes, message in (
        ('empty', dict(annotations=[]), 'empty.json has no annotations'),
        ('no_images', dict(images=[], annotations=[]), 'has no annotations'),
        ('list', dict(images=None), 'no list "images"'),
    ):
        with pytest.raises(SystemExit, match=message):
            tool.main([str(_write(tmp_path / f'{name}.json', [20], **changes)), '--out', str(tmp_path / 'p')])
    with pytest.raises(SystemExit, match=r'annotation 1 has the box \[10, 10, nan, nan\]; its four numbers must be'):
        tool.main([str(_write(tmp_path / 'nan.json', [math.nan])), '--out', str(tmp_path / 'p')])
    with pytest.raises(SystemExit, match='there are 0 objects in 4 images: nothing follows from none'):
        tool.main([str(_write(tmp_path / 'crowds.json', [])), '--out', str(tmp_path / 'p')])
    with pytest.raises(SystemExit, match='No such file'):
        tool.main([str(tmp_path / 'none.json'), '--out', str(tmp_path / 'p')])
    (tmp_path / 'c.py').write_text('model = dict()\n')
    with pytest.raises(SystemExit, match='has no train_dataloader'):
        tool.main([str(tmp_path / 'c.py'), '--out', str(tmp_path / 'p')])
