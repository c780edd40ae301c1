"""Digest of a file, computed once for each state of it."""

import hashlib
import os
from functools import lru_cache


def file_digest(path: str) -> str:
    """sha256 of a file.

    Raises:
        ValueError: If there is no such file.
    """
    if not os.path.isfile(path):
        raise ValueError(f'no annotation file {path!r}')
    status = os.stat(path)
    return _file_digest(os.path.abspath(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _file_digest(path: str, size: int, modified: int) -> str:
    sha256 = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 20):
            sha256.update(block)
    return sha256.hexdigest()
