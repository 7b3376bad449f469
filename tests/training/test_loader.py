import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from pectl.core.batches.share import Share, whole
from pectl.core.batches.windows import Empty, empty_hu
from pectl.errors import StoreError, WorkerError
from pectl.training.loader import Batch, Key, Loader
from pectl.training.reading_processes import _Slot


class Numbers:
    """Batches of their own row numbers."""

    def __init__(self, *, fails: int = -1, dies: int = -1) -> None:
        self.fails, self.dies = fails, dies

    def __call__(self, key: Key, _: Empty = empty_hu, /) -> Batch:
        rows = key.rows[key.share.rows]
        if self.fails in rows:
            raise StoreError(where="1.2.h5", expected="a whole file", found="half of one", fix="make it again")
        if self.dies in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.from_numpy(rows), torch.tensor([os.getpid()] * len(rows))


class Shapes:
    """Batches that differ in size: (n % 5, 2) float64 of n, and (20 - n,) int16 of its square, for the batch n."""

    def __call__(self, key: Key, _: Empty = empty_hu, /) -> Batch:
        number = int(key.rows[0]) // 4
        return (
            torch.full((number % 5, 2), number, dtype=torch.float64),
            torch.full((20 - number,), number**2, dtype=torch.int16),
        )


def keys(count: int = 7, size: int = 4) -> list[Key]:
    rows = np.arange(count * size).reshape(count, size)
    return [Key("train", row, Share(1, 2, size)) for row in rows]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_come_in_order_again_and_again(workers: int) -> None:
    loader = Loader(Numbers(), workers=workers)
    readers = set()
    for count in (7, 3):
        batches = list(loader.read(keys(count), []))
        expected = [[4 * i + 1, 4 * i + 2] for i in range(count)]
        assert [batch[0].tolist() for batch in batches] == expected
        readers |= {int(batch[1][0]) for batch in batches}
    assert len(readers) == max(1, workers)
    assert (os.getpid() in readers) == (workers == 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_what_a_worker_hands_over_stays_as_it_is_though_its_memory_is_used_again(workers: int) -> None:
    """Batches of several sizes and types, read to the end before the first is looked at; twice."""
    loader = Loader(Shapes(), workers=workers)
    for _ in range(2):
        for number, (rows, squares) in enumerate(list(loader.read(keys(20), []))):
            assert rows.shape == (number % 5, 2)
            assert (rows == number).all()
            assert (squares.dtype, squares.tolist()) == (torch.int16, [number**2] * (20 - number))
            assert not rows.is_shared()


def test_a_place_is_used_again_once_no_tensor_of_its_batch_is_known() -> None:
    slot, pointers = _Slot(), set()
    for size in (4, 3, 4, 1):
        assert slot.free()
        known, held = slot.hold((torch.arange(size),))
        assert (known.tolist(), held.tolist()) == ([1], list(range(size)))
        assert held.is_shared()
        assert not slot.free()
        known[0] = 0
        pointers.add(held.data_ptr())
    assert len(pointers) == 1


def test_hu_are_read_into_shared_memory_and_not_copied() -> None:
    slot, pointers = _Slot(), set()
    for number in range(3):
        hu = slot.empty_hu((2, 3))
        hu[:] = number
        _, held, label = slot.hold((torch.from_numpy(hu), torch.tensor([number])))
        assert held.is_shared()
        assert label.is_shared()
        assert (held.tolist(), label.tolist()) == ([[number] * 3] * 2, [number])
        assert held.data_ptr() == hu.ctypes.data
        pointers |= {held.data_ptr(), label.data_ptr()}
    assert len(pointers) == 2


def test_a_worker_needs_no_more_places_than_batches_that_are_known() -> None:
    places = Counter()
    view = None
    for number, (rows, _) in enumerate(Loader(Numbers(), workers=1).read(keys(40), [])):
        if number == 3:
            view = rows[1:]
        places[rows.data_ptr()] += 1
        del rows
    assert view.tolist() == [14]  # its place was left alone
    assert 3 <= len(places) <= 7  # two ahead, one or two on their way, one here, the one that is looked at
    assert max(places.values()) >= 5


@pytest.mark.parametrize("workers", [0, 1])
def test_an_error_while_reading_is_raised_whole_where_the_batch_is_waited_for(workers: int) -> None:
    reader = Loader(Numbers(fails=9), workers=workers).read(keys(), [])
    assert [next(reader)[0].tolist() for _ in range(2)] == [[1, 2], [5, 6]]
    with pytest.raises(StoreError) as error:
        next(reader)
    assert str(error.value) == "1.2.h5: expected a whole file, found half of one; make it again"


def test_a_worker_that_dies_is_an_error_that_says_so() -> None:
    reader = Loader(Numbers(dies=1), workers=1).read(keys(), [])
    with pytest.raises(WorkerError, match=r"--workers: expected processes that read .*has died .*use fewer workers"):
        next(reader)


def test_a_stop_request_ends_the_wait_for_a_batch_that_does_not_come() -> None:
    never, stop = threading.Event(), []

    def load(key: Key, _: Empty = empty_hu, /) -> Batch:
        never.wait(30)
        return (torch.zeros(1),)

    threading.Timer(0.3, lambda: stop.append(15)).start()
    begun = time.monotonic()
    assert next(Loader(load).read(keys(), stop)) is None
    assert 0.2 < time.monotonic() - begun < 3.0
    never.set()


def test_workers_leave_stop_signals_to_the_training(tmp_path: Path) -> None:
    """SLURM sends them to every process of a step."""
    loader = Loader(Numbers(), workers=1)
    reader = loader.read(keys(), [])
    worker = int(next(reader)[1][0])
    for number in (signal.SIGUSR1, signal.SIGTERM):
        os.kill(worker, number)
    assert len(list(reader)) == 6


def test_a_program_that_ends_with_workers_at_work_does_not_wait_for_them() -> None:
    """They ignore SIGTERM, by which multiprocessing ends what is left."""
    code = """
from tests.training.test_loader import Loader, Numbers, keys
loader = Loader(Numbers(), workers=1)
reader = loader.read(keys(), [])
next(reader)
raise SystemExit(5)
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=200, check=False).returncode == 5


def test_workers_of_a_program_that_was_killed_end_too() -> None:
    code = """
import sys, time
from tests.training.test_loader import Loader, Numbers, keys
reader = Loader(Numbers(), workers=1).read(keys(), [])
print(int(next(reader)[1][0]), flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        worker = Path("/proc") / program.stdout.readline().strip()
        assert worker.is_dir()
        program.kill()
    deadline = time.monotonic() + 60
    while worker.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not worker.exists()


def test_shares_cover_a_batch() -> None:
    for total, parts in ((5, 2), (7, 3), (4, 4), (13, 5)):
        shares = whole(total).split(parts)
        assert [i for share in shares for i in range(total)[share.rows]] == list(range(total))
        assert max(s.size for s in shares) - min(s.size for s in shares) <= 1
        inner = [part for share in shares for part in share.split(2) if part.size]
        assert [i for part in inner for i in range(total)[part.rows]] == list(range(total))
