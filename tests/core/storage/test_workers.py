"""Work in several processes: results, bounded queue, exceptions, deaths, signals."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from pectl.core.storage.workers import run_in_processes
from pectl.errors import StoreError, WorkerError


def square(number: int) -> int:
    return number * number


def named(number: object) -> str:
    return f"item {number}"


@pytest.mark.parametrize("workers", [1, 2])
def test_every_item_comes_with_its_result(workers: int) -> None:
    done = run_in_processes(square, range(9), workers=workers, preload=__name__)
    assert sorted(done) == [number * number for number in range(9)]


def test_items_are_taken_as_they_are_needed() -> None:
    taken = []
    items = (taken.append(number) or number for number in range(1000))
    with closing(run_in_processes(square, items, workers=2, preload=__name__)) as done:
        next(done)
    assert len(taken) == 4


def fail(number: int) -> int:
    if number == 3:
        raise StoreError(where="disk", expected="space", found="none", fix="make some")
    return number


@pytest.mark.parametrize("workers", [1, 2])
def test_an_exception_comes_out_as_it_is(workers: int) -> None:
    with pytest.raises(StoreError, match="disk: expected space, found none; make some") as raised:
        list(run_in_processes(fail, range(9), workers=workers, preload=__name__))
    assert (raised.value.where, raised.value.fix) == ("disk", "make some")


def die(number: int) -> int:
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.02)
    return number


def test_a_killed_worker_is_told_with_what_it_may_have_had() -> None:
    told = r"item 3.*: expected all 2 worker processes to live, found one that was killed.*with fewer --workers"
    with pytest.raises(WorkerError, match=told):
        list(run_in_processes(die, range(9), workers=2, preload=__name__, name=named))


SIGNALLED = """
import os, signal, time
from pectl.core.storage.workers import run_in_processes

def warn_all(number):
    os.killpg(os.getpgrp(), signal.SIGUSR1)
    time.sleep(0.2)
    return number

if __name__ == "__main__":
    received = []
    signal.signal(signal.SIGUSR1, lambda *_: received.append(1))
    print(sorted(run_in_processes(warn_all, range(4), workers=2, preload="__main__")), bool(received))
"""


def test_workers_and_their_helpers_leave_slurms_warning_to_the_program(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(SIGNALLED)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, start_new_session=True, check=True)
    assert done.stdout == "[0, 1, 2, 3] True\n"
