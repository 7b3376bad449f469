import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from pectl.core.batches.share import Share, whole
from pectl.core.batches.windows import Empty, empty_hu
from pectl.errors import StoreError, WorkerError
from pectl.training.loader import Batch, Key, Loader
from pectl.training.reading_processes import _Batches, _Slot, _sound


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


class Large:
    """Batches of 4 MB."""

    def __call__(self, key: Key, empty: Empty = empty_hu, /) -> Batch:
        return (torch.from_numpy(empty((2, 1024, 1024))),)


def test_too_little_shared_memory_is_one_line_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch says it in a container whose /dev/shm has 64 MB; here it is said by a function in its place."""

    def full(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    error = _Batches(Large())[keys()[0]]
    with pytest.raises(WorkerError) as raised:
        list(_sound(iter([error])))
    text = str(raised.value)
    assert text.startswith("--workers, /dev/shm: expected shared memory for the batches that are read ahead, found ")
    assert (
        "MB in all (unable to allocate shared memory(shm) for file </torch_1>: No space left on device (28)); " in text
    )
    assert "--shm-size=8g or --ipc=host), use fewer workers, or --workers 0" in text


def test_a_worker_killed_for_want_of_shared_memory_says_so_too() -> None:
    def batches() -> Iterator[Batch]:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Bus error. ")
        yield ()

    with pytest.raises(WorkerError, match=r"/dev/shm: expected .* \(a process that wrote into it was killed\); start"):
        list(_sound(batches()))


def test_a_fault_of_the_program_in_a_worker_keeps_its_trace() -> None:
    def batches() -> Iterator[Batch]:
        raise RuntimeError("Caught RuntimeError in DataLoader worker process 0.\nOriginal Traceback ...")
        yield ()

    with pytest.raises(RuntimeError, match="Original Traceback"):
        list(_sound(batches()))
    with pytest.raises(RuntimeError, match=r"^another$"):
        _Batches(Broken())[keys()[0]]


class Broken:
    """No batches."""

    def __call__(self, key: Key, _: Empty = empty_hu, /) -> Batch:
        raise RuntimeError("another")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small /dev/shm of its own")
def test_in_a_container_with_little_shared_memory(tmp_path: Path) -> None:
    (tmp_path / "read.py").write_text(
        "import sys\nfrom pectl.errors import WorkerError\n"
        "from tests.training.test_loader import Large, Loader, keys\n"
        "if __name__ == '__main__':\n"
        "    try:\n        batches = list(Loader(Large(), workers=2).read(keys(8), []))\n"
        "    except WorkerError as error:\n        sys.stdout.write(f'{error}')\n"
    )
    command = f"mount -t tmpfs -o size=8m tmpfs /dev/shm && exec {sys.executable} {tmp_path / 'read.py'}"
    done = subprocess.run(
        ["unshare", "--mount", "bash", "-c", command],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip("no right to mount")
    assert "/dev/shm: expected shared memory" in done.stdout, done.stderr
    assert "found 8 MB in all" in done.stdout
