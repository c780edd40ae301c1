"""CIFAR-10 from its binary version, or from a folder of images.

Shape shorthand: N images.
"""

from pathlib import Path

import cv2
import numpy as np

CLASSES = ('airplane', 'automobile', 'bird', 'cat', 'deer', 'dog', 'frog', 'horse', 'ship', 'truck')
SIDE = 32
# A label, then the red, green and blue planes.
RECORD = 1 + 3 * SIDE * SIDE
# Per file of the binary version.
RECORDS = 10_000
BATCHES = {'train': tuple(f'data_batch_{i}.bin' for i in range(1, 6)), 'test': ('test_batch.bin',)}
# Below the folder that is named: the archive of the binary version unpacks to this one.
BINARY_FOLDERS = ('', 'cifar-10-batches-bin')
PICKLE_FOLDERS = ('', 'cifar-10-batches-py')
IMAGE_SUFFIXES = ('.png', '.jpg', '.jpeg', '.bmp')
BINARY_URL = 'https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz'


def read_cifar10(root: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the images and labels of a split.

    Args:
        root: Folder of the binary version (``data_batch_1.bin`` ... ``test_batch.bin``, 10,000 records each), or one
            with ``train/CLASS/*`` and ``test/CLASS/*`` of 32x32 images, CLASS being a name of ``CLASSES`` or its
            number.
        split: ``train`` or ``test``.

    Returns:
        (N, 32, 32, 3) uint8 images, BGR, and (N,) int64 labels from 0 to 9.

    Raises:
        ValueError: If files are missing, truncated or of another kind. Pickles, the python version, are refused: a
            pickle can run any code.
    """
    if split not in BATCHES:
        raise ValueError(f'CIFAR-10 has the splits {", ".join(BATCHES)}, got {split!r}')
    root = Path(root)
    if not root.is_dir():
        raise ValueError(f'CIFAR-10: no such folder: {str(root)!r}')
    for folder in (root / name for name in BINARY_FOLDERS):
        if any((folder / name).is_file() for names in BATCHES.values() for name in names):
            return _read_binary(folder, split)
    if (root / split).is_dir():
        return _read_folder(root / split)
    _refuse_pickles(root)
    raise ValueError(
        f'CIFAR-10: {root} holds neither {BATCHES[split][0]} (the binary version, {BINARY_URL}) nor a folder '
        f'{split}/ with a folder of images per class'
    )


def _refuse_pickles(root: Path) -> None:
    for folder in (root / name for name in PICKLE_FOLDERS):
        if (folder / 'data_batch_1').is_file() or (folder / 'test_batch').is_file():
            raise ValueError(
                f'CIFAR-10: {folder} holds the python version, whose files are pickles, and reading a pickle can run '
                f'any code; get the binary version (data_batch_1.bin ...), {BINARY_URL}'
            )


def _read_binary(folder: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    missing = [name for name in BATCHES[split] if not (folder / name).is_file()]
    if missing:
        raise ValueError(f'CIFAR-10: {", ".join(missing)} missing in {folder}')
    records = np.concatenate([_read_batch(folder / name) for name in BATCHES[split]])
    rgb = records[:, 1:].reshape(-1, 3, SIDE, SIDE)
    return np.ascontiguousarray(rgb[:, ::-1].transpose(0, 2, 3, 1)), records[:, 0].astype(np.int64)


def _read_batch(path: Path) -> np.ndarray:
    content = path.read_bytes()
    if len(content) != RECORDS * RECORD:
        number, rest = divmod(len(content), RECORD)
        raise ValueError(
            f'{path}: truncated or not of the binary version: it must hold {RECORDS} records of {RECORD} bytes, got '
            + (f'{len(content)} bytes' if rest else f'{number} records')
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    if records[:, 0].max() >= len(CLASSES):
        raise ValueError(f'{path}: labels must be from 0 to 9, got {records[:, 0].max()}; not of the binary version')
    return records


def _read_folder(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for child in sorted(path for path in folder.iterdir() if path.is_dir()):
        label = _label(child)
        for path in sorted(p for p in child.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES):
            images.append(_read_image(path))
            labels.append(label)
    if not images:
        raise ValueError(f'CIFAR-10: no images ({", ".join(IMAGE_SUFFIXES)}) in the folders of {folder}')
    return np.stack(images), np.array(labels, np.int64)


def _label(folder: Path) -> int:
    if folder.name in CLASSES:
        return CLASSES.index(folder.name)
    if folder.name.isdigit() and int(folder.name) < len(CLASSES):
        return int(folder.name)
    raise ValueError(f'{folder}: the folder of a class is called {", ".join(CLASSES)}, or by its number')


def _read_image(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'{path}: cannot be read as an image')
    if image.shape != (SIDE, SIDE, 3):
        raise ValueError(f'{path}: images of CIFAR-10 are {SIDE}x{SIDE} px, got {image.shape[1]}x{image.shape[0]}')
    return image
