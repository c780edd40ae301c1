"""Which negative chips a ``ChipDataset`` may have, and which of them a pass over it draws (SNIPER section 3.3).

Shape shorthand: C chips.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from mmisn.chips import CoverChips, level_factor
from mmisn.chips.levels import is_whole

from .chip_plan import ChipPlan, ImageObjects
from .proposals import HOW_TO_MAKE, Proposals, check_proposals_file, load_proposals, proposals_digest

# SNIPER keeps chips of more than 25 proposals at the finest scale and of more than 10 at the others, of 300 per scale.
MIN_PROPOSALS_FINEST = 26
MIN_PROPOSALS = 11


@dataclass(frozen=True)
class NegativeOptions:
    """What ``ChipDataset.negatives`` says.

    Attributes:
        proposals: Path of the proposals file.
        per_image: Negative chips of an image in one pass, at most.
        min_proposals: Per level the fewest proposals for which a chip is kept.
    """

    proposals: str
    per_image: int
    min_proposals: tuple[int, ...]

    @classmethod
    def build(cls, cfg: Any, generator: CoverChips) -> 'NegativeOptions':
        """Read what a config says.

        Args:
            cfg: ``proposals``, a path; ``per_image``, by default 2; ``min_proposals``, one number for all levels or one
                per level, by default 26 for the finest level and 11 for the others, SNIPER's.
            generator: The generator of positive chips, whose levels, ranges and chip size negative chips share.

        Raises:
            ValueError: If an option is unknown, missing or invalid, there is no such file, or the generator has no
                levels to share.
        """
        known = [f.name for f in fields(cls)]
        if not isinstance(cfg, dict):
            raise ValueError(f'ChipDataset.negatives must be a dict with {", ".join(known)}, or None, got {cfg!r}')
        unknown = sorted(set(cfg) - set(known))
        if unknown:
            raise ValueError(f'unknown keys {unknown} in ChipDataset.negatives; it has {", ".join(known)}')
        if not isinstance(generator, CoverChips):
            raise ValueError(
                f'ChipDataset.negatives needs the generator CoverChips, whose levels and chip size negative chips '
                f'share, got {type(generator).__name__}'
            )
        path = cfg.get('proposals')
        if not path:
            raise ValueError(f'ChipDataset.negatives.proposals must name a proposals file, got {path!r}; {HOW_TO_MAKE}')
        per_image = cfg.get('per_image', 2)
        if not is_whole(per_image) or per_image < 1:
            raise ValueError(f'ChipDataset.negatives.per_image must be an integer of at least 1, got {per_image!r}')
        fewest = cfg.get('min_proposals')
        fewest = default_min_proposals(generator) if fewest is None else _build_min_proposals(fewest, generator)
        check_proposals_file(path)
        return cls(str(path), int(per_image), fewest)

    def key(self) -> list:
        """Everything of these options that the plan follows from; ``per_image`` is up to the sampler."""
        return [proposals_digest(self.proposals), *self.min_proposals]

    def attach(self, images: Sequence[ImageObjects], generator: CoverChips) -> list[ImageObjects]:
        """Give each image its proposals; see ``match_proposals``."""
        proposals = load_proposals(self.proposals)
        rows = match_proposals(proposals, self.proposals, images, generator)
        return [replace(o, proposals=proposals.of_image(row)) for o, row in zip(images, rows)]


def default_min_proposals(generator: CoverChips) -> tuple[int, ...]:
    """SNIPER's numbers: more for the finest level, whose chips show the least of the image."""
    factors = [level_factor((640, 480), level) for level in generator.levels]
    return tuple(MIN_PROPOSALS_FINEST if f == max(factors) else MIN_PROPOSALS for f in factors)


def _build_min_proposals(value: Any, generator: CoverChips) -> tuple[int, ...]:
    values = value if isinstance(value, (list, tuple)) else [value] * len(generator.levels)
    if len(values) != len(generator.levels) or any(not is_whole(v) or v < 1 for v in values):
        raise ValueError(
            'ChipDataset.negatives.min_proposals must be an integer of at least 1, or one for each of the '
            f'{len(generator.levels)} levels, got {value!r}'
        )
    return tuple(int(v) for v in values)


def match_proposals(
    proposals: Proposals, path: str, images: Sequence[ImageObjects], generator: CoverChips
) -> np.ndarray:
    """Find the images of a dataset in a proposals file. The file may hold images that the dataset leaves out.

    Args:
        proposals: The file's content.
        path: The file, for errors.
        images: The dataset's images.
        generator: The generator of the dataset.

    Returns:
        Rows of the images in ``proposals.image_ids``.

    Raises:
        ValueError: If the file was made with other levels or scale ranges, lacks an image, or has it in another size.
    """
    for what, theirs, ours in (
        ('levels', proposals.levels, generator.levels),
        ('scale ranges', proposals.scale_ranges, generator.scale_ranges),
    ):
        if theirs != ours:
            raise ValueError(
                f'{path} was made with the {what} {_spell(theirs)}, the generator has {_spell(ours)}; mine the '
                'proposals with the config that trains on them'
            )
    row_of = {image_id: row for row, image_id in enumerate(proposals.image_ids.tolist())}
    missing = [o.img_id for o in images if o.img_id not in row_of]
    if missing:
        other = 'it was made from another dataset' if len(missing) == len(images) else f'such as {missing[:5]}'
        raise ValueError(f'{path} lacks {len(missing)} of the {len(images)} image ids of the dataset: {other}')
    rows = np.array([row_of[o.img_id] for o in images], np.int64)
    for objects, theirs in zip(images, proposals.image_wh[rows].tolist()):
        if tuple(theirs) != tuple(objects.image_wh):
            raise ValueError(
                f'{path} was made from another dataset: its image {objects.img_id!r} is {theirs[0]}x{theirs[1]} px, '
                f'that of the dataset {objects.image_wh[0]}x{objects.image_wh[1]} px'
            )
    return rows


def _spell(values: Sequence) -> str:
    return ', '.join(map(str, values))


def chips_of_pass(plan: ChipPlan, options: NegativeOptions, seed: int, number: int) -> np.ndarray:
    """Numbers of the chips of a pass: all positive ones, then the negative ones drawn for it.

    Args:
        plan: The plan of the dataset.
        options: Its options of negative chips.
        seed: Seed of the sampler.
        number: Number of the pass, from 0.
    """
    # The trailing number keeps this stream apart from those of the sampler's order and of the chips.
    rng = np.random.default_rng((seed, number, 5))
    return np.concatenate([(~plan.negative).nonzero()[0], draw_negatives(plan, options.per_image, rng)])


def draw_negatives(plan: ChipPlan, per_image: int, rng: np.random.Generator) -> np.ndarray:
    """Draw at most ``per_image`` negative chips of each image, all of them equally likely.

    Returns:
        Numbers of the chips, in ascending order. How many there are does not depend on the draw.
    """
    negative = plan.negative.nonzero()[0]
    order = np.lexsort((rng.random(len(negative)), plan.image[negative]))
    images = plan.image[negative][order]
    rank = np.arange(len(order)) - images.searchsorted(images)
    return np.sort(negative[order][rank < per_image])


def pass_shares(plan: ChipPlan, per_image: int) -> np.ndarray:
    """(C,) how often each chip comes in a pass, on average: 1 for the positive ones, less for negative ones."""
    shares = np.ones(len(plan))
    images, pool = np.unique(plan.image[plan.negative], return_counts=True)
    size = pool[images.searchsorted(plan.image[plan.negative])]
    shares[plan.negative] = np.minimum(1, per_image / size)
    return shares
