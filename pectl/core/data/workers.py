"""Work shared out over processes: results as they come, the failures of workers as themselves."""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing.context import BaseContext
from typing import TypeVar

import cv2

from pectl.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    work: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int, preload: str
) -> Iterator[Result]:
    """Do the tasks, in this process or in several, and yield each result as it comes.

    Tasks are taken from their iterator as there is room, so it may be long. `preload` is the module that the processes
    import before they are forked.

    Raises:
        WorkerError: a process was killed.
        Exception: whatever `work` raises.
    """
    if workers <= 1:
        yield from map(work, tasks)
        return
    waiting = iter(tasks)
    with ProcessPoolExecutor(workers, mp_context=_context(preload), initializer=_start_worker) as pool:
        try:
            running = {pool.submit(work, task) for task in islice(waiting, 2 * workers)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(work, task) for task in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerError(
                where=f"{workers} worker processes", expected="all to live",
                found="one that was killed, by the system for want of memory or by a crash in a decoder",
                fix="run the command again with fewer --workers; what is done stays done",
            ) from error  # fmt: skip
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _context(preload: str) -> BaseContext:
    """Return a way to start processes that inherits no threads and imports the libraries once."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return context


def _start_worker() -> None:
    cv2.setNumThreads(1)
