"""A process beside this one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pectl.core.storage.workers import Helper
from pectl.errors import StoreError, WorkerError


def work(number: int) -> tuple[int, int]:
    """Return the number and the process; 3 kills it, 5 can't be done."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        raise StoreError(where="disk", expected="to write", found="No space left on device", fix="free space")
    return number, os.getpid()


def test_results_in_order_and_the_others_go_on_where_one_kills_the_process():
    with Helper("the helper", preload=__name__) as helper:
        first = helper.value(helper.submit(work, 0))
        found = list(helper.results(work, iter(range(5))))
    assert [one and one[0] for one in found] == [0, 1, 2, None, 4]
    assert first[1] == found[2][1] != os.getpid()
    assert found[4][1] not in (first[1], os.getpid())


def test_what_a_task_raises_comes_out_as_it_is():
    with (
        Helper("the helper", preload=__name__) as helper,
        pytest.raises(StoreError, match="No space left on device; free space"),
    ):
        list(helper.results(work, [4, 5]))


def test_a_task_that_kills_the_process_is_told():
    told = "expected it to live, found it was killed: by the system for want of memory or by a crash in a decoder; run"
    with Helper("the helper", preload=__name__) as helper, pytest.raises(WorkerError, match=told):
        helper.value(helper.submit(work, 3))


def test_after_a_task_that_kills_the_process_another_does_the_next():
    with Helper("the helper", preload=__name__) as helper:
        with pytest.raises(WorkerError, match="the helper: expected it to live"):
            helper.value(helper.submit(work, 3))
        assert helper.value(helper.submit(work, 4))[0] == 4


KILLED = """
import time
from tests.core.storage.test_helper import work
from pectl.core.storage.workers import Helper, run_in_processes

if __name__ == "__main__":
    with Helper("the helper", preload="tests.core.storage.test_helper") as helper:
        print(helper.submit(work, 0).result()[1], flush=True)
        pool = run_in_processes(work, [0, 1], workers=2, preload="tests.core.storage.test_helper")
        print(next(pool)[1], flush=True)
        time.sleep(600)
"""


def test_no_process_outlives_a_killed_parent(tmp_path):
    """An idle helper, and a worker of a pool."""
    (tmp_path / "run.py").write_text(KILLED)
    root = Path(__file__).parents[3]
    command = [sys.executable, tmp_path / "run.py"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(root)}) as process:
        assert process.stdout is not None
        workers = [int(process.stdout.readline()) for _ in range(2)]
        assert all(map(lives, workers))
        process.kill()
    deadline = time.monotonic() + 20
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    left = [pid for pid in workers if lives(pid)]
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert left == []


def lives(pid: int) -> bool:
    """Tell whether a process does anything; in a container nobody may bury those that have ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
