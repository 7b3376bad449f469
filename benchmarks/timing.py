"""How the benchmarks measure."""

import os
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


def processor_seconds(*works: Callable[[], object], repeats: int = REPEATS) -> list[float]:
    """Return the least processor time of each work, its child processes' included; the works take turns.

    Other programs on the machine cost it little, so that a ratio of two works holds on a busy one.
    """
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, taken in zip(works, times, strict=True):
            before = sum(os.times()[:4])
            work()
            taken.append(sum(os.times()[:4]) - before)
    return [min(taken) for taken in times]
