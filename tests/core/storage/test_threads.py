"""Work in threads: results in order, the first exception in order, how many there may be."""

import os
import threading
import time

import pytest

from pectl.core.storage.threads import map_in_threads, own_cores
from pectl.core.storage.workers import run_in_processes


@pytest.mark.parametrize("threads", [1, 3])
def test_results_come_in_order(threads):
    def late_first(number, factor):
        time.sleep(0.02 / (1 + number))
        return number * factor

    assert list(map_in_threads(late_first, range(9), range(10, 19), threads=threads)) == [
        number * (10 + number) for number in range(9)
    ]


def test_as_many_work_at_once_as_there_are_threads():
    meet = threading.Barrier(3, timeout=10)
    assert sorted(map_in_threads(lambda _: meet.wait(), range(3), threads=3)) == [0, 1, 2]


@pytest.mark.parametrize("threads", [1, 2])
def test_the_first_exception_in_order_comes_out(threads):
    begun = []

    def work(number):
        begun.append(number)
        time.sleep(0.1 if number == 1 else 0.001)
        if number in (1, 2):
            raise ValueError(f"number {number}")

    with pytest.raises(ValueError, match="number 1"):
        list(map_in_threads(work, range(1000), threads=threads))
    assert len(begun) < 1000


def cores(_):
    return own_cores()


def test_a_worker_process_has_one_core_and_the_programs_own_all_it_may_use(monkeypatch):
    assert list(run_in_processes(cores, range(2), workers=2, preload=__name__)) == [1, 1]
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {1, 4, 5})
    assert own_cores() == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)))
    assert own_cores() == 8
