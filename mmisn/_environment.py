"""Refuse an environment that cannot work, with one error that says what would;."""

from importlib import metadata

# Lowest version accepted, lowest version refused. mmdet 3.3.0 itself refuses mmcv 2.2.0; mmdet 3.3 is the first whose
# BaseBoxes, TTA and metric interfaces this package was tested with.
SUPPORTED = {
    'mmengine': ((0, 10, 0), (1, 0, 0)),
    'mmcv': ((2, 0, 0), (2, 2, 0)),
    'mmdet': ((3, 3, 0), (4, 0, 0)),
}


def _version_tuple(version: str) -> tuple[int, ...]:
    numbers = []
    for part in version.split('+')[0].split('.')[:3]:
        digits = ''.join(c for c in part if c.isdigit())
        numbers.append(int(digits) if digits else 0)
    return tuple(numbers)


def _spell(version: tuple[int, ...]) -> str:
    return '.'.join(map(str, version))


def check_environment(installed: dict[str, str | None] | None = None) -> None:
    """Check that the OpenMMLab packages are there, fit together and that mmcv has its compiled ops.

    Args:
        installed: Version of each package, ``None`` for a missing one; read from the environment by default.

    Raises:
        ImportError: If a package is missing or its version is out of the supported interval, or ``mmcv-lite`` (which
            has no ops) is installed in place of mmcv.
    """
    if installed is None:
        installed = {name: _installed_version(name) for name in (*SUPPORTED, 'mmcv-lite')}
    for name, (lowest, refused) in SUPPORTED.items():
        version = installed.get(name)
        wanted = f'{name}>={_spell(lowest)},<{_spell(refused)}'
        if version is None:
            hint = ' (mmcv-lite has no compiled ops)' if name == 'mmcv' and installed.get('mmcv-lite') else ''
            raise ImportError(
                f'mmisn needs {wanted}, which is not installed{hint}. Install it with: mim install "{wanted}"'
            )
        if not lowest <= _version_tuple(version) < refused:
            raise ImportError(
                f'mmisn needs {wanted}, but {name} {version} is installed. Change it with: mim install "{wanted}"'
            )


def _installed_version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None
