"""``Skeleton``: the names of keypoints, their left and right pairs, tolerances and limbs."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from mmengine.logging import print_log
from pycocotools.cocoeval import Params

from .scenes.person import KEYPOINTS, SKELETON

# COCO's keypoints of a person and their sigmas, as pycocotools has them.
PERSON_SIGMAS = dict(zip(KEYPOINTS, Params('keypoints').kpt_oks_sigmas.tolist()))
# Keys of a dataset's metainfo that describe a skeleton.
SKELETON_KEYS = ('keypoint_names', 'flip_indices', 'flip_pairs', 'sigmas', 'skeleton_links')

_SIDES = dict(left='right', right='left', l='r', r='l')


@dataclass(frozen=True)
class Skeleton:
    """K keypoints of an object.

    Attributes:
        names: K names, all different.
        flip_indices: For each keypoint the one that takes its place in a mirrored object, itself where there is none.
        sigmas: COCO's tolerance of each keypoint in object keypoint similarity (OKS).
        links: Limbs to draw, pairs of indices counted from 0.

    Raises:
        ValueError: If a name is there twice, or a length, an index or a sigma is invalid.
    """

    names: tuple[str, ...]
    flip_indices: tuple[int, ...]
    sigmas: tuple[float, ...]
    links: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        number = len(self.names)
        twice = sorted({n for n in self.names if self.names.count(n) > 1})
        if not number or twice:
            raise ValueError(f'keypoint names must be different and at least one, got {self.names}; twice: {twice}')
        flips = self.flip_indices
        if sorted(flips) != list(range(number)) or any(flips[flips[i]] != i for i in range(number)):
            raise ValueError(
                f'flip_indices must name for each of the {number} keypoints its partner, and the partner that keypoint '
                f'again (itself for none), got {list(flips)}'
            )
        if len(self.sigmas) != number or not all(np.isfinite(s) and s > 0 for s in self.sigmas):
            raise ValueError(f'sigmas must be {number} numbers > 0, one per keypoint, got {list(self.sigmas)}')
        for link in self.links:
            if len(link) != 2 or link[0] == link[1] or not all(0 <= end < number for end in link):
                raise ValueError(
                    f'skeleton link {link} must join two different keypoints of the {number} (numbers from 0, or names)'
                )

    def metainfo(self) -> dict[str, Any]:
        """The skeleton as the metainfo of a dataset: lists under ``keypoint_names``, ``flip_indices``, ..."""
        return dict(
            keypoint_names=list(self.names),
            flip_indices=list(self.flip_indices),
            sigmas=list(self.sigmas),
            skeleton_links=[list(link) for link in self.links],
        )


def build_skeleton(metainfo: dict[str, Any], category: dict[str, Any] | None = None, where: str = '') -> Skeleton:
    """The skeleton that a metainfo describes, filled up from a category of an annotation file.

    Args:
        metainfo: May hold ``keypoint_names``; ``flip_pairs`` (pairs of names or indices) or ``flip_indices``;
            ``sigmas``; ``skeleton_links`` (pairs of names or of indices from 0).
        category: COCO category whose ``keypoints`` (names) and ``skeleton`` (pairs from 1) are used where the metainfo
            says nothing. Pairs are told by the names then: ``left_eye`` and ``right_eye``, ``eye_l`` and ``eye_r``.
        where: Named in front of error messages, such as the annotation file.

    Returns:
        The skeleton; COCO's person where neither names any keypoint. Keypoints with a name of COCO's have COCO's sigma
        by default.

    Raises:
        ValueError: If names differ between the two, a pair or link matches no keypoint, or pairs or sigmas are missing.
    """
    where = f'{where}: ' if where else ''
    category = category or {}
    names = tuple(metainfo.get('keypoint_names') or category.get('keypoints') or KEYPOINTS)
    in_file = tuple(category.get('keypoints') or names)
    if in_file != names:
        raise ValueError(
            f'{where}category {category.get("name")!r} has the keypoints {list(in_file)}, the metainfo '
            f'{list(names)}; they must be the same, in the same order'
        )
    try:
        links = metainfo.get('skeleton_links')
        if links is None:
            shift = 1 if category.get('skeleton') else 0
            links = category.get('skeleton') or []
            if not links and names == KEYPOINTS:
                links, shift = SKELETON, 1
            links = [[int(end) - shift for end in link] for link in links]
        pairs = [_indices(link, names, 'skeleton link') for link in links]
        return Skeleton(names, _flip_indices(metainfo, names), _sigmas(metainfo, names), tuple(pairs))
    except ValueError as error:
        raise ValueError(f'{where}{error}') from error


def _indices(pair: Sequence[Any], names: tuple[str, ...], what: str) -> tuple[int, ...]:
    """A pair of names or indices as indices."""
    unknown = [end for end in pair if isinstance(end, str) and end not in names]
    if unknown:
        raise ValueError(f'{what} {list(pair)} names {unknown}, the keypoints are {list(names)}')
    return tuple(names.index(end) if isinstance(end, str) else int(end) for end in pair)


def _sigmas(metainfo: dict[str, Any], names: tuple[str, ...]) -> tuple[float, ...]:
    given = metainfo.get('sigmas')
    if given is not None:
        return tuple(float(s) for s in given)
    missing = [name for name in names if name not in PERSON_SIGMAS]
    if missing:
        raise ValueError(
            f'no OKS sigma is known of {missing}: give metainfo=dict(sigmas=[...]) with one number per keypoint '
            f'(COCO has {min(PERSON_SIGMAS.values())} for eyes to {max(PERSON_SIGMAS.values())} for hips)'
        )
    return tuple(PERSON_SIGMAS[name] for name in names)


def _flip_indices(metainfo: dict[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
    if metainfo.get('flip_indices') is not None:
        if metainfo.get('flip_pairs') is not None:
            raise ValueError('give flip_indices or flip_pairs, not both')
        return tuple(int(i) for i in metainfo['flip_indices'])
    if metainfo.get('flip_pairs') is not None:
        return _flips_of_pairs(metainfo['flip_pairs'], names)
    return flip_indices_of_names(names)


def _flips_of_pairs(flip_pairs: Sequence[Sequence[Any]], names: tuple[str, ...]) -> tuple[int, ...]:
    flips = list(range(len(names)))
    for pair in flip_pairs:
        ends = _indices(pair, names, 'flip pair')
        if len(ends) != 2 or ends[0] == ends[1] or not all(0 <= end < len(names) for end in ends):
            raise ValueError(f'flip pair {list(pair)} must be two different keypoints of the {len(names)}')
        if any(flips[end] != end for end in ends):
            raise ValueError(f'flip pair {list(pair)} has a keypoint that is in another pair already')
        flips[ends[0]], flips[ends[1]] = ends[1], ends[0]
    return tuple(flips)


def flip_indices_of_names(names: Sequence[str]) -> tuple[int, ...]:
    """Tell left and right pairs by the words ``left`` and ``right`` (or ``l`` and ``r``) in the names.

    Words end at ``_``, ``-``, a blank, a digit or where a capital letter begins another one; case does not matter.

    Args:
        names: K keypoint names.

    Returns:
        (K,) index of each keypoint's partner, its own where its name has no side.

    Raises:
        ValueError: If a name has both sides or one side twice, or its partner is missing or not the only one.
    """
    words = [_words(name) for name in names]
    hint = 'give metainfo=dict(flip_pairs=[(left, right), ...]), with [] for no pairs'
    flips = []
    for index, name in enumerate(names):
        sides = [w for w in words[index] if w in _SIDES]
        if len(sides) > 1:
            raise ValueError(f'keypoint {name!r} names more than one side: {hint}')
        mirrored = tuple(_SIDES.get(w, w) for w in words[index])
        partners = [i for i, other in enumerate(words) if other == mirrored]
        if sides and len(partners) != 1:
            found = [names[i] for i in partners]
            raise ValueError(f'keypoint {name!r} needs one partner on the other side, found {found}: {hint}')
        flips.append(partners[0] if sides else index)
    if len(names) > 1 and flips == list(range(len(names))):
        print_log(f'no name of {list(names)} has a side, so a flip swaps no keypoints; if it should, {hint}', 'current')
    return tuple(flips)


def _words(name: str) -> tuple[str, ...]:
    return tuple(word.lower() for word in re.findall(r'[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+', name))
