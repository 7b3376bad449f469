"""Batches read ahead of the training: in a thread of this process, or in processes beside it."""

import queue
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from pectl.core.batches.share import Share
from pectl.core.batches.windows import Empty, empty_hu
from pectl.training.reading_processes import ReadingProcesses

T = TypeVar("T")
Rows = NDArray[np.int64]
Batch = tuple[Tensor, ...]
POLL_SECONDS = 0.2
"""How often a wait for a batch looks whether the training is to stop."""


class Key(NamedTuple):
    """A batch of a split, and which of its rows are to be read."""

    split: str
    rows: Rows
    """Of the whole batch."""
    share: Share


class Load(Protocol):
    """Reads a share of a batch as tensors of as many rows. Draws no random numbers; can be pickled for workers."""

    def __call__(self, key: Key, empty: Empty = empty_hu, /) -> Batch:
        """Return what the key names; HU go into an array of `empty`, which a worker shares with the training."""


class Loader:
    """Reads batches ahead, in their order.

    With no worker processes a thread reads the next batch while a step runs. Workers each read whole batches, with file
    handles of their own. What goes wrong in a thread or a worker is raised where the batch is waited for.
    """

    def __init__(self, load: Load, *, workers: int = 0) -> None:
        self._load = load
        self._workers = ReadingProcesses(load, workers) if workers else None

    def read(self, keys: Sequence[Key], stop: Sequence[int]) -> Iterator[Batch | None]:
        """Yield the batches; None for each that is left once `stop` holds something while one is waited for."""
        source = map(self._load, keys) if self._workers is None else self._workers.read(keys)
        return read_ahead(source, len(keys), stop)


def read_ahead(source: Iterator[T], count: int, stop: Sequence[int] = ()) -> Iterator[T | None]:
    """Yield `count` items of a source that a thread reads: one waits while the next is read.

    Args:
        source: what goes wrong in it is raised where the item is waited for.
        count: items to yield.
        stop: once it holds something, None comes in the place of items.
    """
    ready: queue.Queue[T | _Failure] = queue.Queue(maxsize=1)
    abandoned = threading.Event()
    bounded = islice(source, count)  # the thread is through when the last item is here: the source may be read again
    threading.Thread(target=_fill, args=(ready, bounded, abandoned), daemon=True).start()
    try:
        for _ in range(count):
            yield _wait(ready, stop)
    finally:
        abandoned.set()


@dataclass(frozen=True)
class _Failure:
    """What went wrong in the thread."""

    error: BaseException


def _fill(ready: "queue.Queue[T | _Failure]", source: Iterator[T], abandoned: threading.Event) -> None:
    """Put each item, or what went wrong, until there are no more or nobody waits."""
    try:
        for item in source:
            _put(ready, item, abandoned)
            if abandoned.is_set():
                return
    except BaseException as error:  # noqa: BLE001 - raised again by who waits
        _put(ready, _Failure(error), abandoned)


def _put(ready: "queue.Queue[T | _Failure]", item: T | _Failure, abandoned: threading.Event) -> None:
    while not abandoned.is_set():
        try:
            ready.put(item, timeout=POLL_SECONDS)
        except queue.Full:
            continue
        return


def _wait(ready: "queue.Queue[T | _Failure]", stop: Sequence[int]) -> T | None:
    while not stop:
        try:
            item = ready.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if isinstance(item, _Failure):
            raise item.error
        return item
    return None
