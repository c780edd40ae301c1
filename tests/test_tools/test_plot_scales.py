"""``plot_scales``: its CSV against an independent count over the annotations."""

import csv
import importlib.util
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from mmisn.testing import real_data_root

TOOL = Path(__file__).resolve().parents[2] / 'tools' / 'plot_scales.py'


@pytest.fixture(scope='module')
def tool():
    spec = importlib.util.spec_from_file_location('plot_scales', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def annotations(tmp_path):
    """An annotation file with crowds and with a class that a config may leave out."""
    rng = np.random.default_rng(0)
    images = [dict(id=i, file_name=f'{i}.jpg', width=400, height=300) for i in range(5)]
    anns = []
    for i in range(60):
        x, y = rng.integers(0, 300), rng.integers(0, 200)
        w, h = int(2 ** rng.uniform(0, 6.6)) + 0.3, int(2 ** rng.uniform(0, 6.6)) + 0.3
        ann = dict(id=i + 1, image_id=i % 5, category_id=1 + i % 2, bbox=[int(x), int(y), w, h], area=w * h)
        anns.append(dict(ann, iscrowd=int(i % 10 == 9), segmentation=[]))
    path = tmp_path / 'instances.json'
    categories = [dict(id=1, name='a'), dict(id=2, name='b')]
    path.write_text(json.dumps(dict(images=images, annotations=anns, categories=categories)))
    return path, anns


def _read(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def _totals(rows, rule):
    columns = ('original', 'trained', 'out_of_range', 'not_enclosed')
    return [sum(int(r[c]) for r in rows if r['rule'] == rule) for c in columns]


def test_rules_against_a_count(tool, annotations, tmp_path, capsys):
    path, anns = annotations
    prefix = str(tmp_path / 'plots' / 'p')
    options = ['--levels', '2', '0.5', '--ranges', '16,64', '--rule', 'snip']
    tool.main([str(path), '--out', prefix, *options])
    scales = [math.sqrt(a['bbox'][2] * a['bbox'][3]) for a in anns if not a['iscrowd']]
    rows = _read(f'{prefix}.csv')
    trained = sum(16 <= f * s <= 64 for s in scales for f in (2, 0.5))
    assert _totals(rows, 'instances, given') == [54, trained, 108 - trained, 0]
    # SNIP's ranges are in original pixels.
    trained = sum((s <= 80) + (40 <= s <= 160) + (s >= 120) for s in scales)
    assert _totals(rows, 'instances, SNIP') == [54, trained, 162 - trained, 0]
    for row in rows:
        expected = sum(float(row['lower_px']) <= s < float(row['upper_px']) for s in scales)
        # Edges are written with six digits; no scale is so near to one.
        assert int(row['original']) == expected
    picture = cv2.imread(f'{prefix}.png')
    assert picture.shape == (870, 1400, 3)
    assert (picture == picture[0, 0]).all(axis=-1).mean() < 0.95
    some = np.mean([16 <= 2 * s <= 64 or 16 <= s / 2 <= 64 for s in scales])
    line = next(line for line in capsys.readouterr().out.splitlines() if 'instances, given' in line)
    assert [c.strip() for c in line.split('|')][2:6] == ['54', '2', f'{100 * some:.1f}', f'{100 - 100 * some:.1f}']


def test_rule_and_classes_of_configs(tool, annotations, tmp_path):
    path, anns = annotations
    inner = f"dict(type='CocoDataset', ann_file={str(path)!r}, metainfo=dict(classes=('b',)), data_prefix=dict(img=''))"
    (tmp_path / 'chips.py').write_text(
        "train_dataloader = dict(dataset=dict(type='RepeatDataset', times=2, dataset=dict(type='ChipDataset', "
        f'dataset={inner}, pipeline=[], '
        "generator=dict(type='CoverChips', factors=[4.0, 1.0], scale_range=(16, 200), chip_size=128))))\n"
    )
    (tmp_path / 'whole.py').write_text(
        f'dataset = {inner}\n'
        "dataset['pipeline'] = [dict(type='RandomChoiceResize', scales=[(800, 600), (200, 200)], keep_ratio=True), "
        "dict(type='FilterByScale', scale_range=(0, 64))]\n"
        'train_dataloader = dict(dataset=dataset)\n'
    )
    prefix = str(tmp_path / 'p')
    tool.main([str(tmp_path / 'chips.py'), str(tmp_path / 'whole.py'), '--out', prefix])
    rows = _read(f'{prefix}.csv')
    boxes = [a['bbox'] for a in anns if not a['iscrowd'] and a['category_id'] == 2]
    scales = [math.sqrt(w * h) for _, _, w, h in boxes]
    seen = [(f * s, f * max(b[2:])) for s, b in zip(scales, boxes) for f in (4, 1)]
    # At x4 a chip of 128 view px is 32 original px, and objects have whole coordinates: longer ones fit none.
    trained = sum(16 <= s <= 200 and side <= 128 for s, side in seen)
    too_long = sum(16 <= s <= 200 and side > 128 for s, side in seen)
    assert too_long > 0
    assert _totals(rows, 'chips') == [len(boxes), trained, 2 * len(boxes) - trained - too_long, too_long]
    trained = sum(f * s <= 64 for s in scales for f in (2, 0.5))
    assert _totals(rows, 'whole') == [len(boxes), trained, 2 * len(boxes) - trained, 0]


def test_annotations_without_a_rule(tool, annotations, tmp_path):
    tool.main([str(annotations[0]), '--out', str(tmp_path / 'p')])
    assert _totals(_read(tmp_path / 'p.csv'), 'instances, as they are') == [54, 54, 0, 0]


def test_photographs(tool, tmp_path):
    root = real_data_root()
    if root is None:
        pytest.skip('no folder with real data; see mmisn.testing.real_data_root')
    path = root / 'coco_mini' / 'annotations' / 'instances_val.json'
    content = json.loads(path.read_text())
    scales = [math.sqrt(a['bbox'][2] * a['bbox'][3]) for a in content['annotations'] if not a['iscrowd']]
    tool.main([str(path), '--out', str(tmp_path / 'p'), '--levels', '4', '1', '0.25', '--ranges', '16,560'])
    total, trained, out_of_range, _ = _totals(_read(tmp_path / 'p.csv'), 'instances_val, given')
    assert total > 0.95 * len(scales)  # boxes below one pixel are left out
    expected = sum(16 <= f * s <= 560 for s in scales for f in (4, 1, 0.25))
    assert abs(trained - expected) <= 0.01 * expected + 3 * (len(scales) - total)
    assert trained + out_of_range == 3 * total


@pytest.mark.parametrize(
    ('options', 'code'),
    [
        (['--nonsense'], 2),
        (['--rule', 'other'], 2),
        (['--levels', 'x'], 2),
        (['--ranges', '16'], 2),
        (['--ranges', '16,560'], 'error: --ranges, --frame and --chip-size need --levels'),
        (['--levels', '1', '--ranges', '9,5'], 'error: ScaleRange needs 0 <= lower < upper, got [9.0, 5.0]'),
        (
            ['--levels', '1', '--ranges', '0,1', '1,2'],
            'error: 2 scale ranges for 1 levels; give one per level, or one for all of them',
        ),
    ],
)
def test_wrong_options(tool, annotations, tmp_path, options, code):
    with pytest.raises(SystemExit) as error:
        tool.main([str(annotations[0]), '--out', str(tmp_path / 'p'), *options])
    assert error.value.code == code


def test_help_and_wrong_files(tool, tmp_path):
    with pytest.raises(SystemExit) as error:
        tool.main(['--help'])
    assert error.value.code == 0
    (tmp_path / 'a.json').write_text('[]')
    with pytest.raises(SystemExit, match='is no COCO annotation file'):
        tool.main([str(tmp_path / 'a.json'), '--out', str(tmp_path / 'p')])
    (tmp_path / 'c.py').write_text('model = dict()\n')
    with pytest.raises(SystemExit, match='has no train_dataloader'):
        tool.main([str(tmp_path / 'c.py'), '--out', str(tmp_path / 'p')])
