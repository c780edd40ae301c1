"""The proposals file: what a weak proposal network found in each image at each level (SNIPER section 3.3).

An .npz without pickles. The boxes of all images and levels lie one after the other; an array of offsets parts them.

Shape shorthand: I images, L levels, N proposals.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from mmisn.chips.levels import Level, build_level
from mmisn.structures import ScaleRange, clip_boxes

from .npz import write_npz

PROPOSALS_FORMAT = 1
HOW_TO_MAKE = 'tools/mine_negative_chips.py makes one'
# Images whose boxes are checked at a time, which bounds memory.
_IMAGES_AT_A_TIME = 4096


@dataclass(frozen=True)
class Proposals:
    """Proposals of a dataset's images, those of each level in the level's scale range.

    Attributes:
        image_ids: (I,) ids as strings.
        image_wh: (I, 2) width and height in pixels.
        levels: The L levels at which the images were looked at.
        scale_ranges: One range per level.
        offsets: (I * L + 1,) rows of level l of image i are ``offsets[i * L + l]`` to ``offsets[i * L + l + 1]``.
        boxes_xyxy: (N, 4) float32 boxes in original pixels, inside their image, per image and level best first.
        scores: (N,) float32.
    """

    image_ids: np.ndarray
    image_wh: np.ndarray
    levels: tuple[Level, ...]
    scale_ranges: tuple[ScaleRange, ...]
    offsets: np.ndarray
    boxes_xyxy: np.ndarray
    scores: np.ndarray

    def of_image(self, row: int) -> tuple[np.ndarray, ...]:
        """Per level the (N, 4) boxes of the image at ``row`` of ``image_ids``."""
        first = row * len(self.levels)
        bounds = self.offsets[first : first + len(self.levels) + 1].tolist()
        return tuple(self.boxes_xyxy[start:end] for start, end in zip(bounds, bounds[1:]))

    def counts(self) -> np.ndarray:
        """(L,) proposals of each level."""
        return np.diff(self.offsets).reshape(-1, len(self.levels)).sum(axis=0)


# Id, (width, height), and per level (boxes, scores) of an image.
ImageRecord = tuple[str, tuple[int, int], Sequence[tuple[np.ndarray, np.ndarray]]]


def pack_proposals(
    records: Iterable[ImageRecord], levels: Sequence[Level], scale_ranges: Sequence[ScaleRange]
) -> Proposals:
    """Put the proposals of images together, clipped to their image.

    Args:
        records: Per image its id, (width, height), and per level the boxes (N, 4) in original pixels and scores (N,).
        levels: Factors or sizes.
        scale_ranges: One range per level.

    Raises:
        ValueError: If two images have the same id, or an image has another number of levels.
    """
    records = sorted(records, key=lambda r: r[0])
    ids = np.array([r[0] for r in records], str)
    twice = ids[1:][ids[1:] == ids[:-1]]
    if len(twice):
        raise ValueError(f'two images have the id {str(twice[0])!r}; proposals are looked up by the id of their image')
    wrong = [r[0] for r in records if len(r[2]) != len(levels)]
    if wrong:
        raise ValueError(f'image {wrong[0]!r} has not one list of proposals for each of the {len(levels)} levels')
    boxes = [clip_boxes(np.asarray(b, np.float32).reshape(-1, 4), wh) for _, wh, found in records for b, _ in found]
    scores = [np.asarray(s, np.float32).reshape(-1) for _, _, found in records for _, s in found]
    return Proposals(
        image_ids=ids,
        image_wh=np.array([r[1] for r in records], np.int64).reshape(-1, 2),
        levels=tuple(levels),
        scale_ranges=tuple(scale_ranges),
        offsets=np.concatenate([[0], np.cumsum([len(b) for b in boxes])]).astype(np.int64),
        boxes_xyxy=np.concatenate([np.zeros((0, 4), np.float32), *boxes]),
        scores=np.concatenate([np.zeros(0, np.float32), *scores]),
    )


def dataset_fingerprint(image_ids: Sequence[str], image_wh: np.ndarray) -> str:
    """Digest of the ids and sizes of a dataset's images, whatever their order."""
    images = sorted((str(i), int(w), int(h)) for i, (w, h) in zip(image_ids, image_wh))
    return hashlib.sha256(json.dumps(images).encode()).hexdigest()


def save_proposals(proposals: Proposals, path: str | Path) -> None:
    """Write a proposals file; nobody ever sees a half-written one."""
    geometry = dict(levels=proposals.levels, scale_ranges=[asdict(r) for r in proposals.scale_ranges])
    arrays = dict(
        format=np.array(PROPOSALS_FORMAT),
        fingerprint=np.array(dataset_fingerprint(proposals.image_ids, proposals.image_wh)),
        geometry=np.array(json.dumps(geometry)),
        **{name: getattr(proposals, name) for name in _ARRAYS},
    )
    # Random numbers do not get smaller by compression.
    write_npz(Path(path), arrays, np.savez)


# Name, kind of dtype and shape after the first axis.
_ARRAYS = {
    'image_ids': ('U', ()),
    'image_wh': ('i', (2,)),
    'offsets': ('i', ()),
    'boxes_xyxy': ('f', (4,)),
    'scores': ('f', ()),
}


def load_proposals(path: str | Path) -> Proposals:
    """Read and check a proposals file.

    Raises:
        ValueError: If the file is missing, damaged or of another format, or holds boxes that are no boxes of its
            images.
    """
    check_proposals_file(path)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays['format']) != PROPOSALS_FORMAT:
                raise ValueError(f'its format is {int(arrays["format"])}, this version reads {PROPOSALS_FORMAT}')
            geometry = json.loads(str(arrays['geometry']))
            proposals = Proposals(
                levels=tuple(build_level(level) for level in geometry['levels']),
                scale_ranges=tuple(ScaleRange(**r) for r in geometry['scale_ranges']),
                **{name: arrays[name] for name in _ARRAYS},
            )
            _check_structure(proposals, str(arrays['fingerprint']))
    except Exception as error:  # a damaged zip file raises nearly anything
        raise ValueError(f'{path} is damaged, or no proposals file: {error}; {HOW_TO_MAKE}') from error
    _check_boxes(proposals, path)
    return proposals


def check_proposals_file(path: str | Path) -> None:
    """Raise a ValueError if there is no such file."""
    if not os.path.isfile(path):
        raise ValueError(f'there is no proposals file {path}; {HOW_TO_MAKE}')


def proposals_digest(path: str | Path) -> str:
    """Digest of a proposals file's content."""
    check_proposals_file(path)
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(1 << 22):
            digest.update(block)
    return digest.hexdigest()


def _check_structure(p: Proposals, fingerprint: str) -> None:
    for name, (kind, shape) in _ARRAYS.items():
        array = getattr(p, name)
        if array.dtype.kind != kind or array.ndim != 1 + len(shape) or array.shape[1:] != shape:
            raise ValueError(f'its array {name!r} is of type {array.dtype} and shape {array.shape}')
    num = len(p.image_ids)
    if len(p.levels) != len(p.scale_ranges) or len(p.offsets) != num * len(p.levels) + 1:
        raise ValueError(f'{num} images, {len(p.levels)} levels and {len(p.offsets)} offsets do not fit together')
    bounds_fit = p.offsets[0] == 0 and p.offsets[-1] == len(p.boxes_xyxy) == len(p.scores)
    if not bounds_fit or (np.diff(p.offsets) < 0).any():
        raise ValueError(f'its offsets do not divide {len(p.boxes_xyxy)} boxes')
    if len(set(p.image_ids.tolist())) < num:
        raise ValueError('two of its images have the same id')
    if dataset_fingerprint(p.image_ids, p.image_wh) != fingerprint:
        raise ValueError('its image ids and sizes are not those of its fingerprint')


def _check_boxes(p: Proposals, path: str | Path) -> None:
    ends = p.offsets[:: len(p.levels)]
    for first in range(0, len(p.image_ids), _IMAGES_AT_A_TIME):
        of_images = slice(first, first + _IMAGES_AT_A_TIME)
        bounds = ends[first : first + _IMAGES_AT_A_TIME + 1]
        boxes, scores = p.boxes_xyxy[bounds[0] : bounds[-1]], p.scores[bounds[0] : bounds[-1]]
        image = np.repeat(np.arange(len(p.image_ids))[of_images], np.diff(bounds))
        # Written so that NaN fails as well.
        inside = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= p.image_wh[image]).all(1)
        fine = inside & (boxes[:, :2] <= boxes[:, 2:]).all(1) & np.isfinite(scores)
        if not fine.all():
            i = int(np.argmin(fine))
            width, height = p.image_wh[image[i]]
            raise ValueError(
                f'{path}: image {str(p.image_ids[image[i]])!r} of {width}x{height} px has the proposal '
                f'{boxes[i].tolist()} with score {scores[i]}; it must be finite, with x1 <= x2 and y1 <= y2, and lie '
                'in the image'
            )
