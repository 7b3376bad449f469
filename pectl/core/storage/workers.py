"""Work shared out over processes: results as they come, the failures of workers as themselves."""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from typing import Self, TypeVar

from pectl.errors import WorkerError

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 2
"""Tasks that a helper has while a result is used: one that it does, and one that waits."""

_CAUSES = "by the system for want of memory or by a crash in a decoder"


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
            found=f"one that was killed, {_CAUSES}",
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


class Helper:
    """One process beside this one, which does tasks in their order while this one does something else.

    It is started with the first task. Where a task kills it, another takes its place.

    Args:
        name: what to call it where it dies, such as "the process that reads studies".
        preload: the module that it imports before it is forked.
    """

    def __init__(self, name: str, *, preload: str) -> None:
        self._name, self._preload = name, preload
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def submit(self, work: Callable[..., Result], *arguments: object, **named: object) -> Future[Result]:
        """Begin a task; what it raises comes out of the future as it is."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(1, mp_context=_context(self._preload), initializer=_start_worker)
        return self._pool.submit(work, *arguments, **named)

    def value(self, future: Future[Result]) -> Result:
        """Return the result of a task.

        Raises:
            WorkerError: the process was killed over it.
            Exception: whatever the task raises.
        """
        try:
            return future.result()
        except BrokenProcessPool as error:
            self.stop()
            raise WorkerError(
                where=self._name,
                expected="it to live",
                found=f"it was killed: {_CAUSES}",
                fix='run the command again; in a script, put the call under if __name__ == "__main__":',
            ) from error

    def results(self, work: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result | None]:
        """Begin the first tasks, and yield the result of each; None for one that the process was killed over.

        While a result is used, the next task is done and its result waits.
        """
        waiting = iter(tasks)
        return self._results(work, waiting, deque((task, self.submit(work, task)) for task in islice(waiting, AHEAD)))

    def _results(
        self,
        work: Callable[[Task], Result],
        waiting: Iterator[Task],
        running: "deque[tuple[Task, Future[Result]]]",
    ) -> Iterator[Result | None]:
        while True:
            running += [(task, self.submit(work, task)) for task in islice(waiting, AHEAD - len(running))]
            if not running:
                return
            try:
                yield running.popleft()[1].result()
            except BrokenProcessPool:
                self.stop()
                running = deque((task, self.submit(work, task)) for task, _ in running)
                yield None

    def stop(self) -> None:
        """End the process once it has done its task; the next task starts another."""
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def end_with_parent() -> None:
    """Let this worker process end once its parent has, however that ended.

    The system doesn't do it: a worker's own parent is the fork server, and a worker that waits for a task holds both
    ends of the pipe that it waits at.
    """
    threading.Thread(target=_await_end_of_parent, daemon=True).start()


def _await_end_of_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _start_worker() -> None:
    end_with_parent()
    import cv2  # half a second that the program's own process needn't pay

    cv2.setNumThreads(1)
