"""What the commands show: progress as a bar on a terminal and as plain lines elsewhere, results, errors."""

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from pectl.errors import PectlError
from pectl.pipeline.processes import find_processes

if TYPE_CHECKING:
    from rich.console import Console

LINE_SECONDS = 30.0
"""Seconds between progress lines where there is no terminal."""

Report = Callable[[int, int], None]


@cache
def console(*, stderr: bool = False) -> "Console":
    """Return the console of stdout or stderr; rich is imported when something is shown."""
    from rich.console import Console

    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def show_error(error: PectlError) -> None:
    """Print a failure as one line on stderr; one of several processes says which it is."""
    here = find_processes()
    who = f"pectl, process {here.rank} of {here.world}" if here.world > 1 else "pectl"
    console(stderr=True).print(f"{who}: {error}", markup=False)


def say(text: str) -> None:
    """Print one line of result."""
    console().print(text, markup=False)


def show_table(title: str, rows: Mapping[str, object]) -> None:
    """Print names and values as a small table."""
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    for name, value in rows.items():
        table.add_row(name, f"{value:.4g}" if isinstance(value, float) else str(value))
    console().print(table)


@contextmanager
def progress(what: str, *, quiet: bool, growing: bool = False) -> Iterator[Report]:
    """Yield a function to call with (done, total): a bar on a terminal, else a line every 30 s and at the end.

    A total that is `growing` has no end that could be told from the rest.
    """
    if quiet:
        yield lambda done, total: None
    elif console(stderr=True).is_terminal:
        with _bar(what) as report:
            yield report
    else:
        yield _Lines(what, growing=growing)


@contextmanager
def _bar(what: str) -> Iterator[Report]:
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    )  # fmt: skip
    with Progress(*columns, console=console(stderr=True)) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class _Lines:
    """Progress as plain lines with rate and time left."""

    def __init__(self, what: str, *, growing: bool) -> None:
        self._what, self._first, self._growing = what, 0, growing
        self._started = self._last = time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Print a line if 30 s have passed, or if all is done."""
        now = time.monotonic()
        if self._first == 0:
            self._first, self._started = done, now
        if (done < total or self._growing) and now - self._last < LINE_SECONDS:
            return
        self._last = now
        rate = (done - self._first) / max(now - self._started, 1e-9)
        speed = f", {rate:.2f}/s" if rate else ""
        left = f", {(total - done) / rate:.0f} s left" if rate and done < total else ""
        sys.stderr.write(f"{self._what}: {done}/{total}{speed}{left}\n")
        sys.stderr.flush()
