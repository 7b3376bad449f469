"""How the benchmarks measure."""

import time
from collections.abc import Callable

Row = tuple[str, str, str, str]
"""Path, our figure, the baseline's, and the ratio."""
REPEATS = 3


def shortest(work: Callable[[], object], *, repeats: int = REPEATS) -> float:
    """Return the seconds of the shortest of some runs."""
    times = []
    for _ in range(repeats):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times)
