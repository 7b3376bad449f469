import os
import signal
import subprocess
import sys
from collections.abc import Callable

import pytest

from pectl.errors import Interrupted
from pectl.training.stopping import ending_on_stop, leaving_on_stop, stop_requests

SIGNALS = [signal.SIGTERM, signal.SIGUSR1]


def stop_and_swallow(number: int) -> None:
    """Get a signal where code would take any Exception for a damaged file."""
    try:
        os.kill(os.getpid(), number)
    except Exception:  # noqa: BLE001 - the point
        pytest.fail("swallowed")


def stop_twice(number: int) -> None:
    with stop_requests() as received:
        os.kill(os.getpid(), number)
    assert received == [number]
    os.kill(os.getpid(), number)
    pytest.fail("went on")


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("work", [stop_and_swallow, stop_twice])
def test_outside_of_the_steps_a_signal_ends_the_work_and_within_them_it_is_noted(
    number: int, work: Callable[[int], None]
) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Interrupted) as stopped, leaving_on_stop("train-stage1 --out run"):
        work(number)
    assert stopped.value.exit_code == 75
    assert str(stopped.value) == (
        "train-stage1 --out run: expected to train, found a stop signal outside of the training's steps; "
        "run the command again with --resume"
    )
    assert signal.getsignal(number) == before


CALLED_BACK = """
import ctypes, os, signal
from pectl.training.stopping import ending_on_stop

@ctypes.CFUNCTYPE(None)
def callback():
    os.kill(os.getpid(), signal.{name})
    print("what an exception would do: ctypes prints it and goes on, others abort")

with ending_on_stop("train-stage1 --out run"):
    callback()
print("went on")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGUSR1"])
def test_while_c_code_calls_back_a_signal_ends_the_program_at_once(name: str) -> None:
    done = subprocess.run([sys.executable, "-c", CALLED_BACK.format(name=name)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr == (
        "pectl: train-stage1 --out run: expected to train, found a stop signal outside of the training's steps; "
        "run the command again with --resume\n"
    )


def test_afterwards_signals_are_as_before() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with ending_on_stop("run"):
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before
