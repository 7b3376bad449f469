"""A process beside this one."""

import os
import signal

import pytest

from pectl.core.storage.workers import Helper
from pectl.errors import StoreError


def work(number: int) -> tuple[int, int]:
    """Return the number and the process; 3 kills it, 5 can't be done."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if number == 5:
        raise StoreError(where="disk", expected="to write", found="No space left on device", fix="free space")
    return number, os.getpid()


def test_results_in_order_and_the_others_go_on_where_one_kills_the_process():
    with Helper(preload=__name__) as helper:
        first = helper.submit(work, 0).result()
        found = list(helper.results(work, iter(range(5))))
    assert [one and one[0] for one in found] == [0, 1, 2, None, 4]
    assert first[1] == found[2][1] != os.getpid()
    assert found[4][1] not in (first[1], os.getpid())


def test_what_a_task_raises_comes_out_as_it_is():
    with Helper(preload=__name__) as helper, pytest.raises(StoreError, match="No space left on device; free space"):
        list(helper.results(work, [4, 5]))
