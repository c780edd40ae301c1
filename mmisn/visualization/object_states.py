"""What becomes of an image's objects in training: per chip, and over all chips.

The rules are those of ``FilterByScale`` and ``CropChip``, asked of the same ``ScaleRange`` and ``Chip``.

Shape shorthand: N objects, C chips.
"""

from collections.abc import Sequence

import numpy as np

from mmisn.structures import Chip, ScaleRange

TRAINED = 'trained'
OUT_OF_RANGE = 'out of range'
NOT_ENCLOSED = 'not enclosed'
CROWD = 'crowd'
NOT_SHOWN = 'not shown'
STATES = (TRAINED, OUT_OF_RANGE, NOT_ENCLOSED, CROWD)


def object_states(boxes_xyxy: np.ndarray, ignored: np.ndarray, chip: Chip, scale_range: ScaleRange) -> np.ndarray:
    """What a chip makes of each object.

    Args:
        boxes_xyxy: (N, 4) float64 boxes in original pixels, clipped to the image.
        ignored: (N,) whether the annotation itself is ignored (crowds).
        chip: The chip.
        scale_range: Scales that are trained on, in view or in original pixels.

    Returns:
        (N,) strings. The first that applies of ``not shown`` (no area in common), ``crowd``, ``out of range``,
        ``not enclosed`` (the chip shows a part of it) and ``trained``. The middle three are ignored in training.
    """
    states = np.full(len(boxes_xyxy), TRAINED, dtype=object)
    states[~chip.encloses(boxes_xyxy)] = NOT_ENCLOSED
    # Through the view's range, as training does, so that both compare with the same two numbers.
    in_range = scale_range.in_view(chip).in_original(chip).contains_boxes(boxes_xyxy)
    states[~in_range] = OUT_OF_RANGE
    states[np.asarray(ignored, bool)] = CROWD
    states[~chip.overlaps(boxes_xyxy)] = NOT_SHOWN
    return states


def best_states(states: Sequence[np.ndarray], ignored: np.ndarray, in_some_range: np.ndarray) -> np.ndarray:
    """What becomes of each object over all chips of its image.

    Args:
        states: Per chip the (N,) states of ``object_states``.
        ignored: (N,) whether the annotation itself is ignored.
        in_some_range: (N,) whether some level has the object in its range.

    Returns:
        (N,) strings: ``crowd``; ``trained`` by one chip or more; ``not enclosed``, in range of a level but whole in
        none of that level's chips; or ``out of range`` of every level.
    """
    best = np.full(len(ignored), OUT_OF_RANGE, dtype=object)
    best[np.asarray(in_some_range, bool)] = NOT_ENCLOSED
    for of_chip in states:
        best[of_chip == TRAINED] = TRAINED
    best[np.asarray(ignored, bool)] = CROWD
    return best


def count_states(states: Sequence[np.ndarray], levels: Sequence[int], num_levels: int) -> np.ndarray:
    """Count objects per level and state; an object counts once in each chip that shows it.

    Returns:
        (num_levels, 4) counts in the order of ``STATES``.
    """
    counts = np.zeros((num_levels, len(STATES)), np.int64)
    for level, of_chip in zip(levels, states):
        counts[level] += [int((of_chip == state).sum()) for state in STATES]
    return counts
