"""Refuse an environment that cannot work, with one error that says what would."""

import re
from importlib import metadata
from importlib.util import find_spec

# Lowest version accepted, lowest version refused. mmdet 3.3.0 itself refuses mmcv 2.2.0; mmdet 3.3 is the first whose
# BaseBoxes, TTA and metric interfaces this package was tested with.
SUPPORTED = {
    'mmengine': ((0, 10, 0), (1, 0, 0)),
    'mmcv': ((2, 0, 0), (2, 2, 0)),
    'mmdet': ((3, 3, 0), (4, 0, 0)),
}


def _version_tuple(version: str) -> tuple[int, ...]:
    """Major, minor, patch, and 0 for a pre-release or 1; a version that cannot be read comes before all others."""
    match = re.match(r'v?(\d+)(?:\.(\d+))?(?:\.(\d+))?(.*)', version.split('+')[0])
    if match is None:
        return 0, 0, 0, 0
    is_final = re.match(r'[._-]?(a|b|c|rc|alpha|beta|pre|dev)', match[4], re.IGNORECASE) is None
    return *(int(n or 0) for n in match.groups()[:3]), int(is_final)


def _spell(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))


def check_environment(installed: dict[str, str | None] | None = None) -> None:
    """Check that the OpenMMLab packages are there, fit together and that mmcv has its compiled ops.

    Args:
        installed: Version of each package, ``None`` for a missing one; read from the environment by default.

    Raises:
        ImportError: If a package is missing or its version is out of the supported interval, or ``mmcv-lite`` (which
            has no ops) is installed in place of mmcv, or mmcv was built without its ops.
    """
    is_real = installed is None
    if is_real:
        installed = {name: _installed_version(name) for name in (*SUPPORTED, 'mmcv-lite')}
    for name, (lowest, refused) in SUPPORTED.items():
        version = installed.get(name)
        wanted = f'{name}>={_spell(lowest)},<{_spell(refused)}'
        if version is None:
            hint = ' (mmcv-lite has no compiled ops)' if name == 'mmcv' and installed.get('mmcv-lite') else ''
            raise ImportError(
                f'mmisn needs {wanted}, which is not installed{hint}. Install it with: mim install "{wanted}"'
            )
        # A pre-release of the lowest version comes before it; one of the version refused is refused as well.
        if not (*lowest, 1) <= _version_tuple(version) < refused:
            raise ImportError(
                f'mmisn needs {wanted}, but {name} {version} is installed. Change it with: mim install "{wanted}"'
            )
    if is_real and find_spec('mmcv._ext') is None:
        raise ImportError(
            f'mmcv {installed["mmcv"]} is installed without its compiled ops (mmcv._ext). Install it anew with: '
            f'mim install "mmcv=={installed["mmcv"]}"'
        )


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
