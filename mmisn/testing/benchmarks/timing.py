"""Time several things fairly on a machine that does other work, too."""

import time
from collections.abc import Callable, Mapping


def interleaved(functions: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Time functions in turns, so that a busy moment strikes all of them alike.

    Each runs once before the clock starts.

    Args:
        functions: Name to function.
        rounds: How often each is timed.

    Returns:
        Name to the shortest time in seconds; other jobs can only make a run longer.

    Raises:
        ValueError: If ``rounds`` is below 1.
    """
    if rounds < 1:
        raise ValueError(f'rounds must be at least 1, got {rounds}')
    for function in functions.values():
        function()
    best = dict.fromkeys(functions, float('inf'))
    for _ in range(rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            best[name] = min(best[name], time.perf_counter() - start)
    return best
