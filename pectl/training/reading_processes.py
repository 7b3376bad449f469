"""Processes that read batches beside the training, and hand them over in shared memory that is used again and again."""

import multiprocessing
import shutil
import signal
import weakref
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from pectl.core.batches.windows import Empty
from pectl.core.storage.workers import end_with_parent
from pectl.errors import PectlError, WorkerError
from pectl.training.stopping import REQUEUE_SIGNALS

K = TypeVar("K")
Batch = tuple[Tensor, ...]
SHARED_MEMORY = Path("/dev/shm")
AHEAD = 2
"""Batches that each process reads ahead."""


class ReadingProcesses(Generic[K]):
    """Reads batches by their keys in processes of its own, in the order of the keys.

    A fresh page of shared memory costs more than reading what it holds, and a copy half of that, so each process keeps
    its places and the training has the batches there. Beside each place stands which tensors of its batch are still
    known; the process fills it again once none is, and makes another if all are taken.
    """

    def __init__(self, load: Callable[[K, Empty], Batch], workers: int) -> None:
        self._keys: list[K] = []
        self._loader = _worker_loader(load, self._keys, workers)
        self._mapped: dict[int, Batch] = {}  # by place: torch maps again what it no longer knows

    def read(self, keys: Sequence[K]) -> Iterator[Batch]:
        """Yield the batches; each is there as long as it, or a view of it, is known.

        Raises:
            WorkerError: a process died. An error of ours in one of them is raised as it is.
        """
        self._keys[:] = keys
        before = signal.pthread_sigmask(signal.SIG_BLOCK, REQUEUE_SIGNALS)  # workers inherit it: only we are to stop
        try:
            shared = iter(self._loader)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return map(self._lend, _sound(shared))

    def _lend(self, held: Batch) -> Batch:
        """Return a batch of a place; what of it isn't known any more is told to the process."""
        known, *tensors = held
        self._mapped[known.data_ptr()] = held
        return tuple(_lent(tensor.numpy(), known, number) for number, tensor in enumerate(tensors))


def _lent(array: NDArray[Any], known: Tensor, number: int) -> Tensor:
    weakref.finalize(array, known.__setitem__, number, 0).atexit = False
    return torch.from_numpy(array)


class _Batches(Dataset["Batch | PectlError"], Generic[K]):
    """Batches by key, for workers; an error of ours travels as a value, whole."""

    def __init__(self, load: Callable[[K, Empty], Batch]) -> None:
        self._load = load
        self._slots: list[_Slot] = []

    def __getitem__(self, key: K) -> Batch | PectlError:
        try:
            slot = self._free_slot()
            return slot.hold(self._load(key, slot.empty_hu))
        except PectlError as error:
            return error
        except RuntimeError as error:
            if "shared memory" not in str(error):
                raise
            return _no_shared_memory(str(error))

    def _free_slot(self) -> "_Slot":
        for slot in self._slots:
            if slot.free():
                return slot
        self._slots.append(_Slot())
        return self._slots[-1]


def _no_shared_memory(found: str) -> WorkerError:
    """Return what to raise where shared memory is full: containers have 64 MB of it unless they are told otherwise."""
    size = shutil.disk_usage(SHARED_MEMORY).total
    return WorkerError(
        where=f"--workers, {SHARED_MEMORY}",
        expected="shared memory for the batches that are read ahead",
        found=f"{size / 1e6:.0f} MB in all ({found})",
        fix="start the container with more (--shm-size=8g or --ipc=host), use fewer workers, or --workers 0, a thread, "
        "which needs none; then go on with --resume",
    )


class _Slot:
    """Shared memory for one batch at a time."""

    def __init__(self) -> None:
        self._bytes: list[Tensor] = []
        self._places: list[Tensor] = []
        self._known = torch.zeros(0, dtype=torch.uint8)

    def free(self) -> bool:
        """Whether no tensor of the batch that was held is known any more."""
        return not self._known.any()

    def empty_hu(self, shape: tuple[int, ...]) -> NDArray[np.int16]:
        """Return an array in shared memory, to be filled for the next batch."""
        array: NDArray[np.int16] = self._place(torch.Size(shape), torch.int16).numpy()
        return array

    def hold(self, batch: Batch) -> Batch:
        """Return which tensors of the batch are known, 1 for each, and the batch in shared memory.

        What isn't there yet is copied.
        """
        filled = {place.data_ptr(): place for place in self._places}
        there = [filled[at] if (at := tensor.data_ptr()) in filled else self._copy(tensor) for tensor in batch]
        if len(self._known) != len(batch):
            self._known = torch.zeros(len(batch), dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]  # torch's
        self._known.fill_(1)
        self._places = []
        return (self._known, *there)

    def _copy(self, tensor: Tensor) -> Tensor:
        return self._place(tensor.shape, tensor.dtype).copy_(tensor)

    def _place(self, shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return a new place of this shape and type, over the memory of its predecessors if that is large enough."""
        number, nbytes = len(self._places), shape.numel() * dtype.itemsize
        if number == len(self._bytes):
            self._bytes.append(torch.empty(0, dtype=torch.uint8))
        if self._bytes[number].nbytes < nbytes:
            self._bytes[number] = torch.empty(nbytes, dtype=torch.uint8).share_memory_()  # type: ignore[no-untyped-call]  # torch's
        self._places.append(self._bytes[number][:nbytes].view(dtype).view(shape))
        return self._places[-1]


def _worker_loader(load: Callable[[K, Empty], Batch], keys: list[K], workers: int) -> "DataLoader[Batch | PectlError]":
    """Return torch's loader over the keys that the list will hold when it is iterated."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    Finalize(None, _end_workers, exitpriority=0)
    return DataLoader(
        _Batches(load),
        batch_size=None,
        sampler=keys,
        num_workers=workers,
        prefetch_factor=AHEAD,
        persistent_workers=True,
        multiprocessing_context=context,
        worker_init_fn=_start_worker,
        collate_fn=_as_it_is,
        generator=torch.Generator(),
    )


def _start_worker(_: int) -> None:
    for number in REQUEUE_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    end_with_parent()  # torch watches the parent process too, but takes the fork server for it


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
        if isinstance(error, PectlError) or "DataLoader worker (pid" not in str(error):
            raise  # a fault of the program in a worker keeps its trace
        if "Bus error" in str(error):
            raise _no_shared_memory("a process that wrote into it was killed") from error
        raise WorkerError(
            where="--workers",
            expected="processes that read windows beside the training",
            found=f"that one has died ({error})",
            fix="this is mostly for want of memory: use fewer workers, or --workers 0, and --resume",
        ) from error
