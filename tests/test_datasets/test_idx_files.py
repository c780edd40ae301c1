"""MNIST's idx files: layouts that are understood, files that are refused."""

import gzip
import struct

import numpy as np
import pytest

from mmisn.datasets import read_idx, read_mnist

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)
LABELS = np.array([7, 0, 9], np.uint8)
NAMES = ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte')


def idx(array):
    """An idx file, from its description: magic, lengths of the axes as big-endian 32 bit numbers, data."""
    return struct.pack('>BBBB', 0, 0, 8, array.ndim) + struct.pack(f'>{array.ndim}I', *array.shape) + array.tobytes()


WHOLE = (idx(IMAGES), idx(LABELS))


def write(folder, contents=WHOLE, names=NAMES, zipped=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in zip(names, contents):
        (folder / (f'{name}.gz' if zipped else name)).write_bytes(gzip.compress(content) if zipped else content)


@pytest.mark.parametrize('zipped', [False, True])
@pytest.mark.parametrize('layout', ['', 'raw', 'MNIST/raw'])
def test_reads_all_layouts(tmp_path, layout, zipped):
    write(tmp_path / layout, zipped=zipped)
    images, labels = read_mnist(tmp_path, 'train')
    np.testing.assert_array_equal(images, IMAGES)
    assert labels.tolist() == [7, 0, 9] and labels.dtype == np.int64


def test_reads_names_of_the_unzipped_archive(tmp_path):
    write(tmp_path, names=[name.replace('-idx', '.idx') for name in NAMES])
    assert len(read_mnist(tmp_path, 'train')[0]) == 3


def test_missing_folder_and_split(tmp_path):
    with pytest.raises(ValueError, match="no such folder: .*nowhere'"):
        read_mnist(tmp_path / 'nowhere', 'train')
    with pytest.raises(ValueError, match="splits train, test, got 'val'"):
        read_mnist(tmp_path, 'val')


def test_missing_file_is_named_with_the_folders(tmp_path):
    write(tmp_path)
    (tmp_path / NAMES[1]).unlink()
    with pytest.raises(ValueError, match='train-labels-idx1-ubyte .*missing; looked in .*MNIST/raw') as error:
        read_mnist(tmp_path, 'train')
    assert 'images' not in str(error.value)


@pytest.mark.parametrize(
    ('contents', 'message'),
    [
        ((idx(IMAGES)[:-1], idx(LABELS)), r'images.*truncated: an array of shape \(3, 4, 5\) takes 76 bytes, .* 75'),
        ((idx(IMAGES) + b'x', idx(LABELS)), 'images.*too long'),
        ((idx(IMAGES)[:10], idx(LABELS)), 'images.*truncated: .* begins with 16 bytes, this one has 10'),
        ((b'', idx(LABELS)), 'images.*truncated'),
        ((idx(LABELS) + bytes(9), idx(LABELS)), 'images.*must begin with 0x00000803, got 0x00000801'),
        ((idx(IMAGES), idx(LABELS[:2])), '3 images, .* 2 labels'),
        ((idx(IMAGES), idx(np.array([1, 2, 10], np.uint8))), 'labels.*from 0 to 9, got 10'),
        ((idx(IMAGES[:0]), idx(LABELS[:0])), 'no images'),
    ],
)
def test_broken_files(tmp_path, contents, message):
    write(tmp_path, contents)
    with pytest.raises(ValueError, match=message):
        read_mnist(tmp_path, 'train')


def test_broken_gzip(tmp_path):
    whole = gzip.compress(idx(IMAGES))
    for name, content, message in (
        ('a.gz', whole[:-9], 'a.gz: truncated'),
        ('b.gz', idx(IMAGES), 'b.gz: no valid gzip file'),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=message):
            read_idx(tmp_path / name, 3)
