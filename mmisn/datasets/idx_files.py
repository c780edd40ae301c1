"""MNIST's idx files, unzipped or gzipped, in the folder that they are in or in torchvision's layout.

Shape shorthand: N images, H and W their height and width.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

# An idx file begins with two zero bytes, the type of its numbers (8: uint8) and the number of axes.
MAGIC_UINT8 = 0x08
STEMS = {'train': 'train', 'test': 't10k'}
# Below the folder that is named: torchvision's MNIST(root) puts the files into MNIST/raw.
LAYOUTS = ('', 'raw', 'MNIST/raw')


def read_mnist(root: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of a split.

    Args:
        root: Folder of the four idx files (``train-images-idx3-ubyte`` and so on, with or without ``.gz``), or the
            ``root`` of torchvision's ``MNIST``.
        split: ``train`` or ``test``.

    Returns:
        (N, H, W) uint8 images and (N,) int64 labels from 0 to 9.

    Raises:
        ValueError: If a file is missing, truncated or no idx file of this kind, or both do not fit each other.
    """
    image_file, label_file = mnist_files(root, split)
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1).astype(np.int64)
    if len(images) != len(labels):
        raise ValueError(f'{image_file} holds {len(images)} images, {label_file} {len(labels)} labels')
    if len(images) == 0:
        raise ValueError(f'{image_file} holds no images')
    if labels.max() > 9:
        raise ValueError(f'{label_file}: labels must be digits from 0 to 9, got {labels.max()}')
    return images, labels


def mnist_files(root: str | Path, split: str) -> tuple[Path, Path]:
    """The files of a split's images and labels.

    Raises:
        ValueError: If the folder or a file is not there; the message names all that were looked for.
    """
    if split not in STEMS:
        raise ValueError(f'MNIST has the splits {", ".join(STEMS)}, got {split!r}')
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f'MNIST: no such folder: {str(root)!r}')
    names = [f'{STEMS[split]}-images-idx3-ubyte', f'{STEMS[split]}-labels-idx1-ubyte']
    found = [_find(root, name) for name in names]
    missing = [name for name, path in zip(names, found) if path is None]
    if missing:
        folders = ', '.join(str(root / layout) for layout in LAYOUTS)
        raise ValueError(f'MNIST: {" and ".join(missing)} (or .gz) missing; looked in {folders}')
    return found[0], found[1]


def _find(root: Path, name: str) -> Path | None:
    # The published archive unzips to names with a dot, train-images.idx3-ubyte.
    spellings = [name, name.replace('-idx', '.idx')]
    candidates = (root / layout / f'{s}{suffix}' for layout in LAYOUTS for s in spellings for suffix in ('', '.gz'))
    return next((path for path in candidates if path.is_file()), None)


def read_idx(path: str | Path, axes: int) -> np.ndarray:
    """Read an idx file of uint8 numbers.

    Args:
        path: The file, gzipped if its name ends with ``.gz``.
        axes: How many axes the array must have.

    Raises:
        ValueError: If the file is truncated, too long, or none of this kind.
    """
    content = _read_bytes(Path(path))
    header = 4 * (axes + 1)
    if len(content) < header:
        raise ValueError(f'{path}: truncated: an idx file begins with {header} bytes, this one has {len(content)}')
    magic = int.from_bytes(content[:4], 'big')
    wanted = MAGIC_UINT8 << 8 | axes
    if magic != wanted:
        raise ValueError(
            f'{path}: no idx file of uint8 numbers with {axes} axes: it must begin with 0x{wanted:08x}, got '
            f'0x{magic:08x}'
        )
    shape = tuple(int.from_bytes(content[4 * i : 4 * i + 4], 'big') for i in range(1, axes + 1))
    expected = header + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        what = 'truncated' if len(content) < expected else 'too long'
        raise ValueError(
            f'{path}: {what}: an array of shape {shape} takes {expected} bytes, the file has {len(content)}'
        )
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read_bytes(path: Path) -> bytes:
    if path.suffix != '.gz':
        return path.read_bytes()
    try:
        with gzip.open(path) as file:
            return file.read()
    except EOFError as error:
        raise ValueError(f'{path}: truncated: {error}') from error
    except (gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f'{path}: no valid gzip file: {error}') from error
