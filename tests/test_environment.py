"""An environment that cannot work is refused with one error that says what would work."""

import subprocess
import sys
from pathlib import Path

import pytest

from mmisn import _environment
from mmisn._environment import SUPPORTED, check_environment

GOOD = {'mmengine': '0.10.7', 'mmcv': '2.1.0', 'mmdet': '3.3.0'}


def test_the_real_environment_passes():
    check_environment()


@pytest.mark.parametrize('name', list(GOOD))
def test_missing(name):
    lowest, refused = ('.'.join(map(str, v)) for v in SUPPORTED[name])
    wanted = f'{name}>={lowest},<{refused}'
    with pytest.raises(ImportError) as error:
        check_environment({**GOOD, name: None})
    assert f'mmisn needs {wanted}, which is not installed' in str(error.value)
    assert str(error.value).endswith(f'mim install "{wanted}"')
    assert 'lite' not in str(error.value)


def test_mmcv_lite():
    with pytest.raises(ImportError, match=r'not installed \(mmcv-lite has no compiled ops\)'):
        check_environment({**GOOD, 'mmcv': None, 'mmcv-lite': '2.1.0'})


def test_mmcv_lite_beside_mmcv_is_not_our_business():
    check_environment({**GOOD, 'mmcv-lite': '2.1.0'})


@pytest.mark.parametrize(
    'name, version',
    [
        ('mmcv', '2.0.0'),
        ('mmcv', '2.0.1'),
        ('mmcv', '2.1.0+cu118'),
        ('mmcv', '2.1.0.post1'),
        ('mmcv', '2.1'),
        ('mmcv', '2.1.0rc1'),
        ('mmcv', '2.1.99'),
        ('mmdet', '3.3.0'),
        ('mmdet', '3.10.0'),
        ('mmengine', '0.10.0'),
        ('mmengine', '0.11.0'),
        ('mmengine', '0.10.10'),
    ],
)
def test_accepted(name, version):
    check_environment({**GOOD, name: version})


@pytest.mark.parametrize(
    'name, version',
    [
        ('mmcv', '2.2.0'),  # mmdet 3.3.0 refuses it
        ('mmcv', '2.2.0rc1'),
        ('mmcv', '2.2.0+cu121'),
        ('mmcv', '2.0.0rc4'),  # before 2.0.0
        ('mmcv', '2.0.0.dev0'),
        ('mmcv', '1.7.2'),
        ('mmcv', '2.10.0'),
        ('mmdet', '3.2.0'),
        ('mmdet', '3.3.0rc0'),
        ('mmdet', '2.28.2'),
        ('mmdet', '4.0.0'),
        ('mmengine', '0.9.1'),
        ('mmengine', '1.0.0'),
        ('mmengine', 'unknown'),
    ],
)
def test_refused(name, version):
    with pytest.raises(ImportError) as error:
        check_environment({**GOOD, name: version})
    assert f'but {name} {version} is installed. Change it with: mim install "{name}>=' in str(error.value)


def test_mmcv_built_without_ops(monkeypatch):
    monkeypatch.setattr(_environment, 'find_spec', lambda name: None)
    with pytest.raises(ImportError, match='without its compiled ops'):
        check_environment()


# OpenMMLab is installed where the tests run; this hides it from the import system and from the list of packages.
HIDE = """
import sys
from importlib import metadata

HIDDEN = ('mmcv', 'mmdet', 'mmengine')
sys.modules.update(dict.fromkeys(HIDDEN))
real_version = metadata.version


def version(name):
    if name in HIDDEN:
        raise metadata.PackageNotFoundError(name)
    return real_version(name)


metadata.version = version
"""


def _run_without_openmmlab(code):
    return subprocess.run(
        [sys.executable, '-c', HIDE + code], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )


def test_structures_work_without_openmmlab():
    code = """
import mmisn.structures
from mmisn.structures import Chip, ScaleRange
assert not [name for name in sys.modules if name.split('.')[0] in HIDDEN and sys.modules[name]]
print(Chip((10, 20, 110, 70), (200, 100)).factors, ScaleRange.build((16, 560)).contains(16.0))
"""
    done = _run_without_openmmlab(code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split('\n')[0] == '(2.0, 2.0) True'


@pytest.mark.parametrize('name', ['chips', 'datasets', 'evaluation', 'models', 'visualization'])
def test_the_rest_says_what_is_missing(name):
    done = _run_without_openmmlab(f'import mmisn; mmisn.{name}')
    assert done.returncode == 1
    last = done.stderr.strip().split('\n')[-1]
    assert last == (
        'ImportError: mmisn needs mmengine>=0.10.0,<1.0.0, which is not installed. '
        'Install it with: mim install "mmengine>=0.10.0,<1.0.0"'
    )


def test_an_unknown_attribute_stays_one():
    done = _run_without_openmmlab('import mmisn; mmisn.chip')
    assert done.stderr.strip().endswith("AttributeError: module mmisn has no attribute 'chip'")
