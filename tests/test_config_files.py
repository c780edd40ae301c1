from collections import Counter
from pathlib import Path

import pytest
from mmengine import fileio
from mmengine.config import Config
from mmengine.config import utils as config_utils

from mmisn import _config_files

CONFIG = Path(__file__).parents[1] / 'configs' / 'isn' / 'isn-faster-rcnn_r50_fpn_8xb4-18e_coco.py'


@pytest.fixture
def reads(monkeypatch):
    """How often each metafile is read, by mmengine as it is outside of these tests."""
    counts = Counter()

    def load(path):
        counts[str(path)] += 1
        return fileio.load(path)

    monkeypatch.setattr(config_utils, 'load', load)
    monkeypatch.setattr(_config_files, '_load_once', _config_files.lru_cache(maxsize=None)(load))
    return counts


def test_the_same_config_with_each_metafile_read_once(reads):
    load = config_utils.load
    expected = Config.fromfile(CONFIG)
    assert max(reads.values()) > 1 and len(reads) > 50
    reads.clear()
    configs = [_config_files.read_config(CONFIG) for _ in range(2)]
    assert [c.to_dict() for c in configs] == [expected.to_dict()] * 2
    assert set(reads.values()) == {1}
    assert config_utils.load is load


def test_mmengine_is_as_before_after_an_error(reads, tmp_path):
    load = config_utils.load
    with pytest.raises(FileNotFoundError):
        _config_files.read_config(tmp_path / 'missing.py')
    assert config_utils.load is load
