"""Processes that read batches beside the training, and hand them over in shared memory that is used again and again."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from multiprocessing.util import Finalize
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pectl.errors import PectlError, WorkerError
from pectl.pipeline.stopping import REQUEUE_SIGNALS

K = TypeVar("K")
Batch = tuple[Tensor, ...]
AHEAD = 2
"""Batches that each process reads ahead."""
SLOTS = AHEAD + 1
"""Places for batches of each process: those ahead, and the one that is being copied out."""


class ReadingProcesses(Generic[K]):
    """Reads batches by their keys in processes of its own, in the order of the keys.

    A fresh page of shared memory costs more than reading what it holds, so each process keeps its places, and a batch
    is copied out before the next is asked for: only then can the process fill that place again.
    """

    def __init__(self, load: Callable[[K], Batch], workers: int) -> None:
        self._keys: list[K] = []
        self._loader = _worker_loader(load, self._keys, workers)
        self._mapped: deque[Batch] = deque(maxlen=SLOTS * workers)  # torch maps what it still knows only once

    def read(self, keys: Sequence[K]) -> Iterator[Batch]:
        """Yield the batches, in memory of this process.

        Raises:
            WorkerError: a process died. An error of ours in one of them is raised as it is.
        """
        self._keys[:] = keys
        before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUEUE_SIGNALS)  # workers inherit it: only we are to stop
        try:
            shared = iter(self._loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return map(self._copy, _sound(shared))

    def _copy(self, shared: Batch) -> Batch:
        """Copy a batch by numpy: in one thread, where torch would start as many as the training has."""
        self._mapped.append(shared)
        return tuple(torch.from_numpy(tensor.numpy().copy()) for tensor in shared)


class _Batches(Dataset["Batch | PectlError"], Generic[K]):
    """Batches by key, for workers; an error of ours travels as a value, whole."""

    def __init__(self, load: Callable[[K], Batch]) -> None:
        self._load = load
        self._slots = cycle([_Slot() for _ in range(SLOTS)])

    def __getitem__(self, key: K) -> Batch | PectlError:
        try:
            return next(self._slots).hold(self._load(key))
        except PectlError as error:
            return error


class _Slot:
    """Shared memory for one batch at a time."""

    def __init__(self) -> None:
        self._bytes: list[Tensor] = []

    def hold(self, batch: Batch) -> Batch:
        """Copy a batch here, and return it."""
        while len(self._bytes) < len(batch):
            self._bytes.append(torch.empty(0, dtype=torch.uint8))
        return tuple(self._place(index, tensor).copy_(tensor) for index, tensor in enumerate(batch))

    def _place(self, index: int, tensor: Tensor) -> Tensor:
        """Return a shared tensor like the given one, over the memory of its predecessors if that is large enough."""
        if self._bytes[index].nbytes < tensor.nbytes:
            self._bytes[index] = torch.empty(tensor.nbytes, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]  # torch's
        return self._bytes[index][: tensor.nbytes].view(tensor.dtype).view(tensor.shape)


def _worker_loader(load: Callable[[K], Batch], keys: list[K], workers: int) -> "DataLoader[Batch | PectlError]":
    """Return torch's loader over the keys that the list will hold when it is iterated."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    Finalize(None, _end_workers, exitpriority=0)
    return DataLoader(
        _Batches(load), batch_size=None, sampler=keys, num_workers=workers, prefetch_factor=AHEAD,
        persistent_workers=True, multiprocessing_context=context, worker_init_fn=_start_worker, collate_fn=_as_it_is,
        generator=torch.Generator(),
    )  # fmt: skip


def _start_worker(_: int) -> None:
    for number in REQUEUE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_training, daemon=True).start()


def _end_with_the_training() -> None:
    """End once the training has: torch watches the parent process, which is the fork server and outlives a SIGKILL."""
    training = multiprocessing.parent_process()
    if training is not None:
        training.join()
        os._exit(1)


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
