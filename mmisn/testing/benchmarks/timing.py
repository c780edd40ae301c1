"""Time several things fairly on a machine that does other work, too."""

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def interleaved(functions: Mapping[str, Callable[[Any], object]], items: Sequence, rounds: int) -> dict[str, float]:
    """Time functions in turns, item by item, so that a busy moment strikes all of them alike.

    Each runs once on each item before the clock starts.

    Args:
        functions: Name to a function of one item.
        items: What the functions work on.
        rounds: How often each function is timed on each item.

    Returns:
        Name to seconds per item: the mean over items of the shortest time. Other jobs can only make a run longer.

    Raises:
        ValueError: If ``rounds`` is below 1 or there are no items.
    """
    if rounds < 1 or not items:
        raise ValueError(f'rounds and the number of items must be at least 1, got {rounds} and {len(items)}')
    best = {name: [float('inf')] * len(items) for name in functions}
    for round_number in range(-1, rounds):
        for i, item in enumerate(items):
            for name, function in functions.items():
                start = time.perf_counter()
                function(item)
                seconds = time.perf_counter() - start
                if round_number >= 0:
                    best[name][i] = min(best[name][i], seconds)
    return {name: sum(times) / len(items) for name, times in best.items()}
