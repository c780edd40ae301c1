"""CIFAR-10's binary version and folders of images; pickles are refused."""

import cv2
import numpy as np
import pytest

from mmisn.datasets import cifar10, read_cifar10

RNG = np.random.default_rng(0)
BGR = RNG.integers(0, 256, (6, 32, 32, 3), dtype=np.uint8)
LABELS = [3, 9, 0, 1, 2, 5]


def record(label, bgr):
    """A record by its description: label, then 1024 bytes each of red, green and blue, row by row."""
    return bytes([label]) + b''.join(bgr[:, :, channel].tobytes() for channel in (2, 1, 0))


@pytest.fixture(autouse=True)
def one_record(monkeypatch):
    """Files of a record each, in the place of 10,000."""
    monkeypatch.setattr(cifar10, 'RECORDS', 1)


def write_binary(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(5):
        (folder / f'data_batch_{i + 1}.bin').write_bytes(record(LABELS[i], BGR[i]))
    (folder / 'test_batch.bin').write_bytes(record(LABELS[5], BGR[5]))


@pytest.mark.parametrize('below', ['', 'cifar-10-batches-bin'])
def test_reads_the_binary_version(tmp_path, below):
    write_binary(tmp_path / below)
    images, labels = read_cifar10(tmp_path, 'train')
    np.testing.assert_array_equal(images, BGR[:5])
    assert labels.tolist() == LABELS[:5]
    images, labels = read_cifar10(tmp_path, 'test')
    np.testing.assert_array_equal(images, BGR[5:])
    assert labels.tolist() == [5]


def test_reads_folders_of_images(tmp_path):
    for name, number in (('cat', 0), ('9', 1), ('airplane', 2)):
        (tmp_path / 'train' / name).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / 'train' / name / '1.png'), BGR[number])
    images, labels = read_cifar10(tmp_path, 'train')
    assert labels.tolist() == [9, 0, 3]  # folders in the order of their names
    np.testing.assert_array_equal(images, BGR[[1, 2, 0]])


def test_pickles_are_refused_and_not_opened(tmp_path):
    folder = tmp_path / 'cifar-10-batches-py'
    folder.mkdir()
    (folder / 'data_batch_1').write_bytes(b'not even a pickle')
    with pytest.raises(ValueError, match=r'pickle.*binary version.*cifar-10-binary.tar.gz'):
        read_cifar10(tmp_path, 'train')


def _missing_batch(folder):
    write_binary(folder)
    (folder / 'data_batch_4.bin').unlink()


def _truncated(folder):
    write_binary(folder)
    (folder / 'data_batch_2.bin').write_bytes(record(3, BGR[0])[:-1])


def _label_of_11(folder):
    write_binary(folder)
    (folder / 'data_batch_2.bin').write_bytes(record(11, BGR[0]))


def _unknown_class(folder):
    (folder / 'train' / 'lion').mkdir(parents=True)


def _other_size(folder):
    (folder / 'train' / 'cat').mkdir(parents=True)
    cv2.imwrite(str(folder / 'train' / 'cat' / 'a.png'), BGR[0][:30])


def _no_image(folder):
    (folder / 'train' / 'cat').mkdir(parents=True)
    (folder / 'train' / 'cat' / 'a.png').write_bytes(b'x')


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (_missing_batch, 'data_batch_4.bin missing'),
        (_truncated, 'data_batch_2.bin: truncated.* 1 records of 3073 bytes, got 3072 bytes'),
        (_label_of_11, 'data_batch_2.bin: labels must be from 0 to 9, got 11'),
        (_unknown_class, 'lion: the folder of a class is called airplane'),
        (_other_size, 'a.png: images of CIFAR-10 are 32x32 px, got 32x30'),
        (_no_image, 'a.png: cannot be read'),
        (lambda folder: None, 'neither data_batch_1.bin .* nor a folder train/'),
        (lambda folder: (folder / 'train').mkdir(), 'no images'),
    ],
)
def test_broken_data(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message):
        read_cifar10(tmp_path, 'train')


@pytest.mark.parametrize('number', [1, 9_999, 10_001])
def test_a_file_cut_between_two_records_is_truncated(tmp_path, monkeypatch, number):
    monkeypatch.setattr(cifar10, 'RECORDS', 10_000)
    write_binary(tmp_path)
    (tmp_path / 'test_batch.bin').write_bytes(record(1, BGR[0]) * number)
    with pytest.raises(ValueError, match=rf'test_batch.bin: .* 10000 records of 3073 bytes, got {number} records'):
        read_cifar10(tmp_path, 'test')
    (tmp_path / 'test_batch.bin').write_bytes(record(1, BGR[0]) * 10_000)
    assert len(read_cifar10(tmp_path, 'test')[0]) == 10_000


def test_missing_folder(tmp_path):
    with pytest.raises(ValueError, match='no such folder'):
        read_cifar10(tmp_path / 'x', 'train')
