"""Reading config files that inherit from mmdet's, without reading all of mmdet's metafiles each time."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from mmengine import fileio
from mmengine.config import Config
from mmengine.config import utils as config_utils

_load_once = lru_cache(maxsize=None)(fileio.load)


@contextmanager
def metafiles_read_once() -> Iterator[None]:
    """Meanwhile mmengine reads each metafile of a package once.

    For every base config ``mmdet::...`` mmengine looks the file up in mmdet's hundred metafiles, and reads them all
    anew, several times per config. They do not change while a program runs.
    """
    load = config_utils.load
    config_utils.load = _load_once
    try:
        yield
    finally:
        config_utils.load = load


def read_config(path: str | Path) -> Config:
    """``Config.fromfile`` for programs that read many configs."""
    with metafiles_read_once():
        return Config.fromfile(path)
