"""The proposals file: what is written is read, and whatever is wrong with a file is said."""

import os

import numpy as np
import pytest

from mmisn.datasets.npz import write_npz
from mmisn.datasets.proposals import (
    dataset_fingerprint,
    load_proposals,
    pack_proposals,
    proposals_digest,
    save_proposals,
)
from mmisn.structures import ScaleRange

LEVELS = (5 / 3, (512, 512))
RANGES = (ScaleRange(0, 80, frame='original'), ScaleRange(32, frame='original'))
NONE = np.zeros((0, 4)), np.zeros(0)


def found(*boxes):
    return np.array(boxes, float), np.linspace(1, 0.5, len(boxes))


RECORDS = [
    ('9', (100, 80), [found([1, 2, 30, 40.5], [-3, 5, 101, 200]), NONE]),
    ('10', (64, 48), [NONE, NONE]),
    ('7', (64, 48), [NONE, found([0, 0, 64, 48])]),
]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / 'below' / 'p.npz'
    save_proposals(pack_proposals(RECORDS, LEVELS, RANGES), path)
    return path


def test_what_is_written_is_read(path):
    read = load_proposals(path)
    assert read.image_ids.tolist() == ['10', '7', '9']
    assert read.image_wh.tolist() == [[64, 48], [64, 48], [100, 80]]
    assert read.levels == LEVELS and read.scale_ranges == RANGES
    assert read.boxes_xyxy.dtype == read.scores.dtype == np.float32
    assert [[b.tolist() for b in read.of_image(row)] for row in range(3)] == [
        [[], []],
        [[], [[0, 0, 64, 48]]],
        [[[1, 2, 30, 40.5], [0, 5, 100, 80]], []],  # clipped to its image
    ]
    assert read.scores.tolist() == [1.0, 1.0, 0.5]
    assert read.counts().tolist() == [2, 1]
    assert [p.name for p in path.parent.iterdir()] == ['p.npz']
    assert path.stat().st_mode & 0o400 and path.stat().st_mode & 0o777 == 0o666 & ~_umask()


def _umask():
    umask = os.umask(0)
    os.umask(umask)
    return umask


def test_no_proposals_at_all(tmp_path):
    save_proposals(pack_proposals([('a', (5, 4), [NONE, NONE])], LEVELS, RANGES), tmp_path / 'p.npz')
    read = load_proposals(tmp_path / 'p.npz')
    assert read.of_image(0)[0].shape == (0, 4) and read.counts().tolist() == [0, 0]


def test_order_of_images_does_not_matter(path, tmp_path):
    save_proposals(pack_proposals(RECORDS[::-1], LEVELS, RANGES), tmp_path / 'q.npz')
    assert proposals_digest(tmp_path / 'q.npz') == proposals_digest(path)
    wh = np.array([[5, 4], [7, 6]])
    print_ab = dataset_fingerprint(['a', 'b'], wh)
    assert print_ab == dataset_fingerprint(['b', 'a'], wh[::-1])
    assert len({print_ab, dataset_fingerprint(['a', 'c'], wh), dataset_fingerprint(['b', 'a'], wh)}) == 3


def test_records_that_do_not_fit():
    with pytest.raises(ValueError, match="two images have the id '9'"):
        pack_proposals([RECORDS[0], RECORDS[1], RECORDS[0]], LEVELS, RANGES)
    with pytest.raises(ValueError, match="image '10' has not one list of proposals for each of the 1 levels"):
        pack_proposals(RECORDS, LEVELS[:1], RANGES[:1])


def rewrite(path, **changes):
    with np.load(path) as arrays:
        kept = dict(arrays)
    write_npz(path, {k: v for k, v in {**kept, **changes}.items() if v is not None}, np.savez)


def _boxes(*rows):
    return np.array(rows, np.float32)


@pytest.mark.parametrize(
    ('changes', 'match'),
    [
        (dict(format=np.array(9)), 'its format is 9, this version reads 1'),
        (dict(scores=None), 'scores'),
        (dict(scores=np.zeros(2, np.float32)), 'its offsets do not divide 3 boxes'),
        (dict(offsets=np.array([0, 0, 0, 2, 1, 3, 3])), 'its offsets do not divide 3 boxes'),
        (dict(offsets=np.array([0, 3])), '3 images, 2 levels and 2 offsets do not fit together'),
        (dict(boxes_xyxy=np.zeros((3, 5), np.float32)), r"'boxes_xyxy' is of type float32 and shape \(3, 5\)"),
        (dict(boxes_xyxy=np.zeros((3, 4), int)), "'boxes_xyxy' is of type int64"),
        (dict(image_ids=np.array(['10', '7', '8'])), 'ids and sizes are not those of its fingerprint'),
        (dict(image_ids=np.array(['10', '9', '9'])), 'two of its images have the same id'),
        (dict(geometry=np.array('no json')), 'Expecting value'),
        (dict(scores=np.array([object()] * 3, object)), 'allow_pickle=False'),
    ],
)
def test_files_of_another_structure(path, changes, match):
    rewrite(path, **changes)
    with pytest.raises(ValueError, match=match) as error:
        load_proposals(path)
    assert str(path) in str(error.value) and 'mine_negative_chips' in str(error.value)


@pytest.mark.parametrize('bad', [[1, 2, np.nan, 5], [1, 2, 64.5, 5], [-0.5, 2, 5, 6], [9, 2, 5, 6], [1, np.inf, 5, 6]])
def test_boxes_that_are_none_of_their_image(path, bad):
    rewrite(path, boxes_xyxy=_boxes(bad, [1, 2, 30, 40], [0, 0, 10, 10]))
    with pytest.raises(
        ValueError, match=r"p.npz: image '7' of 64x48 px has the proposal \[.*\] with score 1.0; it must"
    ):
        load_proposals(path)


def test_scores_must_be_finite(path):
    rewrite(path, scores=np.array([1, 1, np.nan], np.float32))
    with pytest.raises(ValueError, match="image '9' of 100x80 px has .* with score nan"):
        load_proposals(path)


def test_many_images_are_checked_piece_by_piece(path, monkeypatch):
    monkeypatch.setattr('mmisn.datasets.proposals._IMAGES_AT_A_TIME', 1)
    assert load_proposals(path).counts().tolist() == [2, 1]
    rewrite(path, boxes_xyxy=_boxes([0, 0, 1, 1], [1, 2, 30, 40], [0, 0, 10, 81]))
    with pytest.raises(ValueError, match="image '9' of 100x80 px"):
        load_proposals(path)


def test_damaged_files(path):
    whole = path.read_bytes()
    inside = whole.index(np.float32(40.5).tobytes())
    for damaged in (b'', b'no zip', whole[: len(whole) // 2], whole[:inside] + b'\xff\xff' + whole[inside + 2 :]):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match='p.npz is damaged, or no proposals file'):
            load_proposals(path)


def test_no_file(tmp_path):
    for read in (load_proposals, proposals_digest):
        with pytest.raises(
            ValueError, match='there is no proposals file .*none.npz; tools/mine_negative_chips.py makes'
        ):
            read(tmp_path / 'none.npz')


def test_nothing_half_written_is_left(tmp_path):
    def fail(file, **arrays):
        file.write(b'half')
        raise OSError('disk full')

    (tmp_path / 'p.npz').write_text('old')
    with pytest.raises(OSError, match='disk full'):
        write_npz(tmp_path / 'p.npz', {}, fail)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [('p.npz', 'old')]
