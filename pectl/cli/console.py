"""What the commands show: progress as a bar on a terminal and as plain lines elsewhere, results, errors."""

import logging
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

from pectl.core.storage.processes import find_processes
from pectl.errors import PectlError

if TYPE_CHECKING:
    from rich.console import Console

FIRST_LINE_SECONDS, LINE_SECONDS = 5.0, 30.0
"""Seconds to the first progress line, and between them, where there is no terminal."""

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
def log_lines(*, quiet: bool) -> Iterator[None]:
    """Show the notes of the program's log on stderr while the block lasts; warnings come through in any case."""
    logger, handler = logging.getLogger("pectl"), logging.StreamHandler()
    before = logger.level
    if not quiet:
        logger.setLevel(logging.INFO)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)


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
        yield Lines(what, growing=growing)


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
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console(stderr=True)) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class Lines:
    """Progress as plain lines on stderr, with rate and time left: the first after 5 s, then one every 30 s."""

    def __init__(self, what: str, *, growing: bool = False) -> None:
        self._what, self._first, self._growing = what, 0, growing
        self._started = time.monotonic()
        self._due = self._started + FIRST_LINE_SECONDS

    def __call__(self, done: int, total: int) -> None:
        """Print a line if it is time, or if all is done."""
        now = time.monotonic()
        if self._first == 0:
            self._first, self._started = done, now
        if (done < total or self._growing) and now < self._due:
            return
        self._due = now + LINE_SECONDS
        rate = (done - self._first) / max(now - self._started, 1e-9)
        speed = f", {rate:.2f}/s" if rate else ""
        left = f", {duration((total - done) / rate)} left" if rate and done < total and not self._growing else ""
        sys.stderr.write(f"{self._what}: {done}/{total}{speed}{left}\n")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """Return a time as people say it: 45 s, 12 min, 3 h 05 min, 2 d 7 h."""
    minutes = round(seconds / 60)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
