"""Batches read ahead of the training: in a thread of this process, or in processes beside it."""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from multiprocessing.util import Finalize
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pectl.core.data.share import Share
from pectl.errors import PectlError, WorkerError
from pectl.pipeline.stopping import REQUEUE_SIGNALS

T = TypeVar("T")
Rows = NDArray[np.int64]
Batch = tuple[Tensor, ...]
POLL_SECONDS = 0.2
"""How often a wait for a batch looks whether the training is to stop."""
BATCHES_AHEAD = 2
"""That each worker process reads."""


class Key(NamedTuple):
    """A batch of a split, and which of its rows are to be read."""

    split: str
    rows: Rows
    """Of the whole batch."""
    share: Share


class Load(Protocol):
    """Reads a share of a batch as tensors of as many rows. Draws no random numbers; can be pickled for workers."""

    def __call__(self, key: Key) -> Batch:
        """Return what the key names."""


class Loader:
    """Reads batches ahead, in their order.

    With no worker processes a thread reads the next batch while a step runs: about 2,000 windows a second. Workers each
    read whole batches, with file handles of their own, and hand them over in shared memory; that pays only where
    cores are idle and the thread is too slow. What goes wrong in a thread or a worker is raised where the batch is
    waited for.
    """

    def __init__(self, load: Load, *, workers: int = 0) -> None:
        self._load = load
        self._keys: list[Key] = []
        self._workers = _worker_loader(load, self._keys, workers) if workers else None

    def read(self, keys: Sequence[Key], stop: Sequence[int]) -> Iterator[Batch | None]:
        """Yield the batches; None for each that is left once `stop` holds something while one is waited for."""
        return read_ahead(self._source(keys), len(keys), stop)

    def _source(self, keys: Sequence[Key]) -> Iterator[Batch]:
        if self._workers is None:
            return map(self._load, keys)
        self._keys[:] = keys
        before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUEUE_SIGNALS)  # workers inherit it: only we are to stop
        try:
            return _sound(iter(self._workers))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


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


class _Batches(Dataset["Batch | PectlError"]):
    """Batches by key, for workers; an error of ours travels as a value, whole."""

    def __init__(self, load: Load) -> None:
        self._load = load

    def __getitem__(self, key: Key) -> Batch | PectlError:
        try:
            return self._load(key)
        except PectlError as error:
            return error


def _worker_loader(load: Load, keys: list[Key], workers: int) -> "DataLoader[Batch | PectlError]":
    """Return torch's loader over the keys that the list will hold when it is iterated."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    Finalize(None, _end_workers, exitpriority=0)
    return DataLoader(
        _Batches(load), batch_size=None, sampler=keys, num_workers=workers, prefetch_factor=BATCHES_AHEAD,
        persistent_workers=True, multiprocessing_context=context, worker_init_fn=_start_worker, collate_fn=_as_it_is,
        generator=torch.Generator(),
    )  # fmt: skip


def _start_worker(_: int) -> None:
    for number in REQUEUE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end_workers() -> None:
    """Kill the workers that are left at the end: they ignore multiprocessing's SIGTERM, and it would wait."""
    for child in multiprocessing.active_children():
        if child.daemon:
            child.kill()


def _as_it_is(batch: Any) -> Any:  # noqa: ANN401 - a batch, whatever it is
    return batch


def _sound(batches: "Iterator[Batch | PectlError]") -> Iterator[Batch]:
    """Yield batches, and raise the errors among them.

    Raises:
        WorkerError: a worker process died.
    """
    try:
        for batch in batches:
            if isinstance(batch, PectlError):
                raise batch
            yield batch
    except RuntimeError as error:
        if isinstance(error, PectlError) or "DataLoader worker" not in str(error):
            raise
        raise WorkerError(
            where="--workers", expected="processes that read windows beside the training",
            found=f"that one has died ({error})",
            fix="this is mostly for want of memory: use fewer workers, or --workers 0, and --resume",
        ) from error  # fmt: skip
