"""Pictures of a folder, or a single one."""

from pathlib import Path

import mmcv
import numpy as np
from PIL import Image

from .annotation_check import check_image_file

SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def find_pictures(folder: str | Path, out: str | Path) -> list[Path]:
    """Picture files of a folder and its subfolders, sorted; results of an earlier run are left out.

    Args:
        folder: The folder, or a single picture file.
        out: Where results go.

    Raises:
        ValueError: If there is no such folder or file, no picture in the folder, or the file is of another kind.
    """
    folder, out = Path(folder), Path(out).resolve()
    if folder.is_file():
        if folder.suffix.lower() not in SUFFIXES:
            raise ValueError(f'{folder} is no picture ({", ".join(SUFFIXES)})')
        return [folder]
    if not folder.is_dir():
        raise ValueError(f'{folder} is no folder and no picture')
    found = (p for p in sorted(folder.rglob('*')) if p.suffix.lower() in SUFFIXES and p.is_file())
    pictures = [p for p in found if out == folder.resolve() or out not in p.resolve().parents]
    pictures = [p for p in pictures if (out / 'pictures') not in p.resolve().parents]
    if not pictures:
        raise ValueError(f'{folder} has no pictures ({", ".join(SUFFIXES)})')
    return pictures


def read_picture(path: Path) -> np.ndarray:
    """(H, W, 3) uint8 BGR pixels, as ``LoadImageFromFile`` reads them.

    Raises:
        OSError: If the file cannot be read or is truncated.
    """
    with Image.open(path) as image:
        fault = check_image_file(path, *image.size)
    pixels = mmcv.imread(str(path)) if fault is None else None
    if pixels is None:
        raise OSError(fault or 'cannot be decoded')
    return pixels
