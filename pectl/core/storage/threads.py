"""Work shared out over threads, where the work lets other threads run: decoders do."""

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Result = TypeVar("Result")
_MOST = 8
"""Threads; what isn't decoded takes more of the time than more of them save."""


def own_cores() -> int:
    """Return on how many cores this process may have threads, 8 at most: on one where others work beside it."""
    if multiprocessing.parent_process() is not None:
        return 1
    return min(len(os.sched_getaffinity(0)), _MOST)


def map_in_threads(work: Callable[..., Result], *arguments: Iterable[object], threads: int) -> Iterator[Result]:
    """Yield the results of `map(work, *arguments)` in its order; with one thread it is just that.

    Raises:
        Exception: what the first work in order raises; works that haven't begun then aren't done.
    """
    if threads <= 1:
        yield from map(work, *arguments)
        return
    with ThreadPoolExecutor(threads) as pool:
        yield from pool.map(work, *arguments)
