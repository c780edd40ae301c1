"""Write .npz files so that nobody ever sees half of one."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np


def write_npz(path: Path, arrays: dict[str, np.ndarray], save: Callable = np.savez_compressed) -> None:
    """Write arrays to a file beside the target, then rename it.

    Args:
        path: The target; its folder is made where it is not there.
        arrays: Arrays by name.
        save: ``numpy.savez_compressed`` or ``numpy.savez``.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, partial = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix='.partial')
    try:
        with os.fdopen(descriptor, 'wb') as file:
            save(file, **arrays)
        # Temporary files are for their owner alone; this one is to be like any other.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(partial, 0o666 & ~umask)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
