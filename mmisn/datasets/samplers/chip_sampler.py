"""Which chips an epoch holds, on which rank, and in which batches.

Trap: mmengine fixes the number of iterations once, from the first epoch; so an epoch's length must never change.
"""

from collections.abc import Iterator

import numpy as np
from mmdet.registry import DATA_SAMPLERS
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..chip_dataset import ChipDataset, ChipIndex
from ..negatives import chips_of_pass, pass_shares


@DATA_SAMPLERS.register_module()
class ChipSampler(Sampler):
    """Yield ``ChipIndex`` (chip, epoch, seed) of a ``ChipDataset``.

    The chips form an endless stream: one permutation of all of them after another, each drawn from (seed, pass). An
    epoch is the next piece of that stream. Without a budget an epoch is one pass; with one it is shorter (or longer),
    and still no chip comes a second time before every chip came once. Of negative chips each pass draws as many per
    image as the dataset's ``negatives`` say, anew.

    Args:
        dataset: The ``ChipDataset``.
        seed: Seed, the same on all ranks; drawn and shared where ``None``.
        pixels_per_image: Budget: view pixels per image and epoch, on average; ``None`` for all chips.
        shuffle: Whether the passes are permuted.

    Raises:
        TypeError: If the dataset is no ``ChipDataset``.
        ValueError: If the budget is not positive.
    """

    def __init__(
        self,
        dataset: ChipDataset,
        seed: int | None = None,
        pixels_per_image: float | None = None,
        shuffle: bool = True,
    ) -> None:
        if not isinstance(dataset, ChipDataset):
            raise TypeError(f'ChipSampler draws from a ChipDataset, got {type(dataset).__name__}')
        if pixels_per_image is not None and not pixels_per_image > 0:
            raise ValueError(f'ChipSampler.pixels_per_image must be positive or None, got {pixels_per_image}')
        self.dataset = dataset
        self.seed = sync_random_seed() if seed is None else seed
        self.rank, self.world_size = get_dist_info()
        self.shuffle = shuffle
        self.epoch = 0
        self.pass_length = len(self._chips_of_pass(0))
        self.num_chips = self.pass_length
        if pixels_per_image is not None:
            self.num_chips = max(1, round(pixels_per_image * dataset.num_images / self._mean_pixels()))

    def _mean_pixels(self) -> float:
        pixels = self.dataset.view_sizes_wh.prod(axis=1)
        if self.dataset.negatives is None:
            return float(pixels.mean())
        return float(np.average(pixels, weights=pass_shares(self.dataset.plan, self.dataset.negatives.per_image)))

    def _chips_of_pass(self, number: int) -> np.ndarray:
        if self.dataset.negatives is None:
            return np.arange(len(self.dataset))
        return chips_of_pass(self.dataset.plan, self.dataset.negatives, self.seed, number)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; MMEngine's ``DistSamplerSeedHook`` calls this."""
        self.epoch = epoch

    def epoch_indices(self) -> list[ChipIndex]:
        """The indices of the whole epoch, of all ranks, in random order."""
        first = self.epoch * self.num_chips
        positions = np.arange(first, first + self.num_chips)
        passes, offsets = np.divmod(positions, self.pass_length)
        indices = []
        for number in np.unique(passes):
            chips = self._pass(int(number))[offsets[passes == number]]
            # The pass, not the epoch, so that one draw of an image's chips is seen whole.
            indices += [ChipIndex(int(c), int(number), self.seed) for c in chips]
        return indices

    def _pass(self, number: int) -> np.ndarray:
        chips = self._chips_of_pass(number)
        if not self.shuffle:
            return chips
        return chips[np.random.default_rng((self.seed, number, 3)).permutation(len(chips))]

    def __iter__(self) -> Iterator[ChipIndex]:
        indices = self.epoch_indices()
        padded = indices + indices[: len(self) * self.world_size - len(indices)]
        return iter(padded[self.rank :: self.world_size])

    def __len__(self) -> int:
        return -(-self.num_chips // self.world_size)


@DATA_SAMPLERS.register_module()
class ChipBatchSampler(Sampler):
    """Batches of chips of like size, so that little is padded: small chips travel together.

    The epoch's chips are sorted by view size (ties in the sampler's random order), cut into batches that span all
    ranks, and the batches shuffled. The last batch is filled up with chips of its own size class.

    Args:
        sampler: A ``ChipSampler``.
        batch_size: Chips per batch and rank.
        drop_last: Whether a last batch that is not full is left out.

    Raises:
        TypeError: If the sampler is no ``ChipSampler``.
    """

    def __init__(self, sampler: ChipSampler, batch_size: int, drop_last: bool = False) -> None:
        if not isinstance(sampler, ChipSampler):
            raise TypeError(f'ChipBatchSampler takes batches from a ChipSampler, got {type(sampler).__name__}')
        if batch_size < 1:
            raise ValueError(f'ChipBatchSampler.batch_size must be at least 1, got {batch_size}')
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[ChipIndex]]:
        sampler, total = self.sampler, self.batch_size * self.sampler.world_size
        indices = sampler.epoch_indices()
        if self.drop_last:
            # Before sorting, so that it is chips of any size that are left out, not always the largest.
            indices = indices[: len(self) * total]
        sizes = sampler.dataset.view_sizes_wh[[i.chip for i in indices]]
        order = np.lexsort((sizes[:, 0], sizes[:, 1]))
        missing = len(self) * total - len(order)
        if missing > 0:
            # The last ones are the largest chips; repeated, as samplers of whole images repeat their first ones.
            order = np.concatenate([order, np.resize(order[-total:], missing)])
        batches = order[: len(self) * total].reshape(len(self), sampler.world_size, self.batch_size)
        if sampler.shuffle:
            batches = np.random.default_rng((sampler.seed, sampler.epoch, 4)).permutation(batches)
        for batch in batches[:, sampler.rank]:
            yield [indices[i] for i in batch]

    def __len__(self) -> int:
        total = self.batch_size * self.sampler.world_size
        return self.sampler.num_chips // total if self.drop_last else -(-self.sampler.num_chips // total)
