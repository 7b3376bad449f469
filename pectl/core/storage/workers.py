"""Work shared out over processes: results as they come, the failures of workers as themselves."""

import multiprocessing
import signal
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import TypeVar

import cv2

from pectl.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")


def run_in_processes(
    work: Callable[[Task], Result],
    tasks: Iterable[Task],
    *,
    workers: int,
    preload: str,
    name: Callable[[Task], str] = str,
) -> Generator[Result, None, None]:
    """Do the tasks, in this process or in several, and yield each result as it comes.

    Tasks are taken from their iterator as there is room, so it may be long.

    Args:
        work: a function of a module; what it raises comes out here as it is.
        tasks: two for each worker are in work or wait for it.
        workers: processes; 1 works in this one.
        preload: the module that the processes import before they are forked.
        name: what to call a task where a process dies.

    Raises:
        WorkerError: a process was killed; the tasks it may have had are named.
        Exception: whatever `work` raises.
    """
    if workers <= 1:
        yield from map(work, tasks)
        return
    waiting = iter(tasks)
    running: dict[Future[Result], Task] = {}
    pool = ProcessPoolExecutor(workers, mp_context=_context(preload), initializer=_start_worker)
    try:
        while True:
            running |= {pool.submit(work, task): task for task in islice(waiting, 2 * workers - len(running))}
            if not running:
                return
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                result = future.result()
                del running[future]
                yield result
    except BrokenProcessPool as error:
        raise WorkerError(
            where=", ".join(sorted(map(name, running.values()))),
            expected=f"all {workers} worker processes to live",
            found="one that was killed, by the system for want of memory or by a crash in a decoder",
            fix="run the command again with fewer --workers; what is done stays done",
        ) from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _context(preload: str) -> BaseContext:
    """Return a way to start processes that inherits no threads and imports the libraries once.

    SLURM sends its warning, SIGUSR1, to all processes of a step; only this one listens to it. The helpers of
    multiprocessing are started while it is blocked, and the workers inherit that.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    try:
        resource_tracker.ensure_running()
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


def _start_worker() -> None:
    cv2.setNumThreads(1)
