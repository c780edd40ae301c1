"""Table files: what they hold, and what is refused."""

import copy

import pytest
import yaml

from mmisn.experiments.tables import ROOT, find_table, load_table, table_names

CONFIG = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
TABLE = dict(
    title='Toy',
    source='nowhere',
    metrics=dict(coco={'bbox_mAP': 'AP', 'bbox_mAP_s': 'AP_s'}, scenes={'bbox_mAP': 'AP', 'bbox_mAP_0_12.8': 'AP_s'}),
    rows=[
        dict(name='ISN', backbone='R18', paper=dict(AP=38.7), scenes=dict(config=CONFIG, test=dict(tta=True))),
        dict(name='SSD', backbone='MobileNet', paper=dict(AP=22), paper_only=True),
    ],
)


def load(tmp_path, content):
    path = tmp_path / 'toy.yml'
    path.write_text(content if isinstance(content, str) else yaml.safe_dump(content))
    return load_table(path)


def changed(path, value):
    """The toy table with one value changed (``KeyError``: removed)."""
    content = copy.deepcopy(TABLE)
    node = content
    for key in path[:-1]:
        node = node[key]
    if value is KeyError:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return content


def test_a_table(tmp_path):
    table = load(tmp_path, TABLE)
    assert table.name == 'toy'
    assert table.headings() == ['AP', 'AP_s']
    isn, ssd = table.rows
    entry = isn.entries['scenes']
    assert (entry.config, entry.test_config, entry.tta, entry.smoke_only) == (CONFIG, CONFIG, True, False)
    assert (entry.options, entry.test_options) == ({}, {})
    assert isn.paper == {'AP': 38.7}
    assert ssd.paper_only and not ssd.entries


@pytest.mark.parametrize(
    ('path', 'value', 'messages'),
    [
        (['titel'], 'x', ['unknown key', "'titel'", 'title']),
        (['title'], KeyError, ["'title' is missing"]),
        (['title'], 3, ['title: must be str, got 3']),
        (['annotations'], 'persons', ['annotations must be one of instances, person_keypoints', "'persons'"]),
        (['rows'], {}, ['rows: must be list']),
        (['rows'], [], ['rows is empty']),
        (['metrics', 'scenes'], {'bbox_mAP': 'AP'}, ['metrics', 'same headings']),
        (['metrics', 'coco'], KeyError, ['metrics', "'coco' is missing"]),
        (['rows', 0, 'sences'], {}, ['row 1 (ISN)', "unknown key 'sences'"]),
        (['rows', 0, 'name'], KeyError, ['row 1', "'name' is missing"]),
        (['rows', 0, 'paper'], {'AP_x': 1}, ['row 1 (ISN): paper', "'AP_x'", 'AP, AP_s']),
        (['rows', 0, 'paper'], {'AP': 'high'}, ['row 1 (ISN): paper.AP', "'high'"]),
        (['rows', 0, 'negatives'], 'yes', ['row 1 (ISN): negatives', 'must be bool']),
        (['rows', 0, 'scenes', 'config'], 'configs/isn/none.py', ['row 1 (ISN): scenes.config', 'configs/isn/none.py']),
        (['rows', 0, 'scenes', 'config'], KeyError, ['row 1 (ISN): scenes', "'config' is missing"]),
        (['rows', 0, 'scenes', 'train'], 'never', ['row 1 (ISN): scenes.train', 'smoke-only', "'never'"]),
        (['rows', 0, 'scenes', 'options'], {'a.b': {'c': 1}}, ['row 1 (ISN): scenes.options.a.b', 'no dicts']),
        (['rows', 0, 'scenes', 'test', 'tta'], 1, ['row 1 (ISN): scenes.test.tta', 'must be bool, got 1']),
        (['rows', 0, 'scenes', 'test', 'tta-'], True, ['row 1 (ISN): scenes.test', "'tta-'"]),
        (['rows', 1, 'paper_only'], False, ['row 2 (SSD)', 'paper_only']),
        (['rows', 0, 'paper_only'], True, ['row 1 (ISN)', 'paper_only']),
        (['rows', 1], TABLE['rows'][0], ['two rows', "'ISN, R18'"]),
    ],
)
def test_wrong_tables_are_refused(tmp_path, path, value, messages):
    with pytest.raises(ValueError) as caught:
        load(tmp_path, changed(path, value))
    for message in ['toy.yml', *messages]:
        assert message in str(caught.value)


def test_no_yaml(tmp_path):
    with pytest.raises(ValueError, match=r'toy\.yml: no valid YAML'):
        load(tmp_path, 'title: [1')


def test_unknown_table_and_row(tmp_path):
    with pytest.raises(ValueError, match=r"no table 'table99'; there are .*table1, .*table7"):
        find_table('table99')
    table = load(tmp_path, TABLE)
    with pytest.raises(ValueError, match=r"no row 'R50'; its rows are: ISN, R18; SSD, MobileNet"):
        table.choose(['ISN', 'R50'])
    assert [row.name for row in table.choose(['SSD, MobileNet'])] == ['SSD']
    assert [row.name for row in table.choose(['R18', 'MobileNet'])] == ['ISN', 'SSD']
    assert len(table.choose(None)) == 2


# The paper's AP, row by row.
AP = dict(
    table1=[34.7, 38.0],
    table2=[28.8, 27.8],
    table3=[43.6, 43.5, 45.3, 46.1, 46.5],
    table4=[37.9, 38.0, 40.9, 42.9, 41.1, 43.0, 45.0, 46.1, 46.4, 22.1, 34.1, 36.6, 38.7],
    table5=[37.4, 38.2, 38.1, 38.7, 37.9, 37.2, 38.4],
    table6=[29.3, 31.1, 36.1, 33.3, 35.6, 38.7, 32.8, 34.3, 36.6],
    table7=[27.6, 32.8, 29.1, 32.9, 32.6, 33.6],
    table8=[34.1, 35.2, 37.6, 39.0, 39.0, 40.3],
    table9=[57.8, 58.7, 62.5, 64.2, 61.2, 61.8, 65.2, 62.6, 62.9, 66.5],
)
# What the paper calls AP, where it has several.
HEADINGS = dict(table8='AP_mask', table9='AP_kps')


@pytest.mark.parametrize('name', AP)
def test_the_papers_rows(name):
    """Every config that a table names exists, or loading it would fail."""
    table = find_table(name)
    assert [row.paper[HEADINGS.get(name, 'AP')] for row in table.rows if row.paper] == AP[name]
    # Rows that are not the paper's have none of its numbers, and are for the scenes.
    assert all(set(row.entries) == {'scenes'} for row in table.rows if not row.paper)
    # Networks that are too large for a CPU are not trained on one.
    for row in table.rows:
        if 'scenes' in row.entries:
            assert row.entries['scenes'].smoke_only == ('ResNet-50' in row.backbone or 'ResNet-101' in row.backbone)


def test_the_table_of_keypoints_is_one_of_persons():
    annotations = {name: find_table(name).annotations for name in AP}
    assert {name for name, stem in annotations.items() if stem == 'person_keypoints'} == {'table9'}
    assert set(annotations.values()) == {'instances', 'person_keypoints'}


def test_all_tables_are_there():
    assert [name for name in table_names() if not name.startswith('scalenet-')] == sorted(AP)
    assert {path.stem for path in (ROOT / 'configs' / 'tables').iterdir()} == set(table_names())


def test_table5_scales_the_ranges_of_the_scenes():
    for row in find_table('table5').rows:
        for key in ('train_dataloader.dataset.generator.scale_range', 'tta_model.scale_range'):
            ranges = [row.entries[kind].options[key] for kind in ('coco', 'scenes')]
            assert ranges[1] == pytest.approx([0.4 * bound for bound in ranges[0]])
        assert row.name == str(ranges[0])
