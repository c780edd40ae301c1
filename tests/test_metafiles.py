from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
METAFILES = yaml.safe_load((ROOT / 'model-index.yml').read_text())['Import']


@pytest.mark.parametrize('path', METAFILES)
def test_metafile_lists_exactly_the_configs_of_its_folder(path):
    folder = (ROOT / path).parent
    content = yaml.safe_load((ROOT / path).read_text())
    configs = {str(p.relative_to(ROOT)) for p in folder.glob('*.py')}
    assert {m['Config'] for m in content['Models']} == configs
    assert all(m['Name'] == Path(m['Config']).stem for m in content['Models'])
    names = {c['Name'] for c in content['Collections']}
    assert {m['In Collection'] for m in content['Models']} == names
    assert all((ROOT / c['README']).is_file() for c in content['Collections'])


def test_every_folder_of_configs_has_a_metafile():
    folders = {p.name for p in (ROOT / 'configs').iterdir() if p.is_dir() and p.name not in ('_base_', 'tables')}
    assert folders == {Path(p).parent.name for p in METAFILES}
