import os
import signal
from collections.abc import Callable

import pytest

from pectl.errors import Interrupted
from pectl.training.stopping import leaving_on_stop, stop_requests

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
