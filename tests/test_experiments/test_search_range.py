"""``tools/search_range.py`` from arguments to files; what mim would do is done by a stand-in that writes metrics."""

import importlib.util
import itertools
import re
import shlex

import pytest
from mim_stand_in import Mim

from mmisn.experiments.data import config_data
from mmisn.experiments.range_search import default_candidates
from mmisn.experiments.tables import ROOT, find_table

TOOL = ROOT / 'tools' / 'search_range.py'
ISN = 'configs/isn/isn-faster-rcnn_r18-small_fpn_1xb8_scenes.py'
SINGLE = 'configs/baselines/faster-rcnn_r18-small_fpn_1xb4_scenes.py'
# Table 5 of the paper, times 0.4; the paper leaves [0, 224] out.
SCORES = {(0, 256): 37.4, (6.4, 256): 38.2, (12.8, 256): 38.1, (6.4, 224): 38.7, (6.4, 198.4): 37.9}
SCORES.update({(6.4, 128): 37.2, (12.8, 224): 38.4, (0, 224): 38.0})


def range_of(command):
    (found,) = re.findall(r'tta_model.scale_range=\[([\d.]+),([\d.]+)\]', ' '.join(command))
    assert f'train_dataloader.dataset.generator.scale_range=[{found[0]},{found[1]}]' in command
    return tuple(map(float, found))


@pytest.fixture
def tool():
    spec = importlib.util.spec_from_file_location('search_range_tool', TOOL)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(tool, tmp_path, monkeypatch, capsys):
    def run(*args, config=ISN, fail=()):
        mim = Mim(fail, lambda command: SCORES[range_of(command)] / 100)
        monkeypatch.setattr('mmisn.experiments.run.run_jobs', mim)
        monkeypatch.chdir(ROOT)
        capsys.readouterr()
        status = tool.main([config, '--out', str(tmp_path), '--jobs', '1', *args])
        captured = capsys.readouterr()
        return status, captured.out + captured.err, mim.commands

    return run


def test_the_search_of_the_paper_on_scenes_and_once_more(run, tmp_path):
    status, text, commands = run()
    assert status == 0
    tested = [range_of(shlex.split(c)) for c in commands if c.startswith('mim test')]
    assert tested[:3] == [(0, 256), (6.4, 256), (12.8, 256)]
    assert sorted(tested[3:6]) == [(6.4, 128), (6.4, 198.4), (6.4, 224)]
    assert sorted(tested[6:]) == [(0, 224), (12.8, 224)]
    assert 'Chosen: [6.4, 224] with bbox_mAP 38.7 after 8 trials' in text
    assert all((tmp_path / f'range_search.{suffix}').is_file() for suffix in ('md', 'csv', 'png'))
    assert run()[2] == []


def test_a_search_goes_on_after_a_failure(run):
    status, text, commands = run(fail=['seed 0'])
    assert (status, commands) == (2, [])
    assert 'seed 0 failed; start again to go on' in text
    assert run()[0] == 0


@pytest.mark.parametrize(
    ('arguments', 'config', 'message'),
    [
        ((), SINGLE, 'must be one range (lower, upper) to be searched, got None'),
        ((), 'configs/isn/none.py', "no config file 'configs/isn/none.py'"),
        (('--lowers', '16', '300'), ISN, 'every lower bound must lie below every upper bound'),
        (('--metric', 'bbox_AP'), ISN, '--metric bbox_AP is not measured; there are coco/bbox_mAP'),
    ],
)
def test_bad_input(run, arguments, config, message):
    status, text, commands = run(*arguments, config=config)
    assert status == 2
    assert message in text


@pytest.mark.parametrize('kind', ['coco', 'scenes'])
def test_candidates_are_the_rows_of_table_5(tool, kind):
    """So that a result of one is found by the other."""
    entries = [row.entries[kind] for row in find_table('table5').rows]
    lower, upper = tool.config_range(entries[0].config)
    lowers, uppers = default_candidates((lower, upper))
    candidates = [tool.entry_of(entries[0].config, r) for r in itertools.product(lowers, uppers)]
    assert all(entry in candidates for entry in entries)


def test_data_of_the_config_itself(tmp_path):
    folder = tmp_path / 'mine'
    for name in ('annotations', 'train', 'val'):
        (folder / name).mkdir(parents=True)
    for split in ('train', 'val'):
        (folder / 'annotations' / f'instances_{split}.json').write_text('{}')
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{ROOT / ISN}'\nroot = '{folder}/'\n"
        'train_dataloader = dict(dataset=dict(dataset=dict(data_root=root)))\n'
        'val_dataloader = dict(dataset=dict(data_root=root))\ntest_dataloader = val_dataloader\n'
    )
    data = config_data(str(config))
    assert data.ann_files == {s: folder / 'annotations' / f'instances_{s}.json' for s in ('train', 'val')}
    assert data.image_folders == {s: folder / s for s in ('train', 'val')}
    assert (data.config_file(str(config)), data.options(None)) == (str(config), {})
    (folder / 'annotations' / 'instances_val.json').unlink()
    with pytest.raises(ValueError, match='instances_val.json missing'):
        config_data(str(config))
