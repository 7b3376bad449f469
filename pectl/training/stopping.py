"""Stop signals: SIGTERM, and SIGUSR1, SLURM's warning before the time limit; both end a training with exit code 75."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pectl.errors import Interrupted

REQUEUE_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class _StopNow(BaseException):
    """Not an Exception, so that no handler of other failures swallows it."""


@contextmanager
def leaving_on_stop(where: object) -> Iterator[None]:
    """Leave the block at once when a stop signal comes: for work that has nothing to save, before and after the steps.

    Raises:
        Interrupted: a signal came.
    """

    def leave(number: int, _: FrameType | None) -> None:
        raise _StopNow

    try:
        with _handled_by(leave):
            yield
    except _StopNow:
        raise _stopped(where) from None


@contextmanager
def ending_on_stop(where: object) -> Iterator[None]:
    """End the program at once when a stop signal comes: for imports, which have nothing to save either.

    What a signal raises while C++ code of a library calls back into Python, as Triton does in its imports, goes through
    that code, which then aborts the program with another exit code.
    """

    def end(number: int, _: FrameType | None) -> None:
        stopped = _stopped(where)
        os.write(2, f"pectl: {stopped}\n".encode(errors="replace"))
        os._exit(stopped.exit_code)

    with _handled_by(end):
        yield


def _stopped(where: object) -> Interrupted:
    return Interrupted(
        where=where,
        expected="to train",
        found="a stop signal outside of the training's steps",
        fix="run the command again with --resume",
    )


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """Yield a list that receives the stop signals, for work that looks at it and saves before it leaves."""
    received: list[int] = []
    with _handled_by(lambda number, _: received.append(number)):
        yield received


@contextmanager
def _handled_by(handler: "signal._HANDLER") -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in REQUEUE_SIGNALS}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
