"""What long commands share: progress, a `status.json` for who watches from elsewhere, and an end when asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.cli.console import Report, console, log_lines, progress
from pectl.errors import Interrupted, WorkerError

if TYPE_CHECKING:
    from pectl.core.storage.estimate import Estimate
    from pectl.core.storage.status import StatusFile


class Watch:
    """Whom a command tells how it goes; `progress` leaves by `Interrupted` where a stop was asked for."""

    def __init__(
        self, what: str, status: "StatusFile", show: Report, stop: list[int], *, quiet: bool, resumes: bool
    ) -> None:
        self._what, self._status, self._show, self._stop = what, status, show, stop
        self._quiet, self._resumes = quiet, resumes

    def stoppable(self, report: Report) -> Report:
        """Return a report of what comes before the studies, that leaves where a stop was asked for."""

        def show(done: int, total: int) -> None:
            report(done, total)
            if self._stop:
                raise self.interrupted()

        return show

    def expect(self, estimate: "Estimate") -> None:
        """Take note of what the command will need."""
        self._status.note(estimate=estimate.status())
        show_estimate(estimate, quiet=self._quiet)

    def progress(self, done: int, total: int) -> None:
        """Take note of how many studies are done; 0 as the work begins."""
        self._show(done, total)
        self._status.update(done, total)
        if self._stop and done < total:
            raise self.interrupted()

    def interrupted(self) -> Interrupted:
        """Return what to raise once a stop was asked for."""
        return Interrupted(
            where=self._status.path.parent,
            expected="to do all studies",
            found=f"a stop signal after {self._status.done} {self._what}",
            fix=f"run the command again; {'only what is missing' if self._resumes else 'all'} is done",
        )


@contextmanager
def watched(
    what: str, out: Path, *, quiet: bool, shard: tuple[int, int] | None = None, resumes: bool = True
) -> Iterator[Watch]:
    """Yield whom to tell how a command goes: it shows progress and keeps the heartbeat in `out`.

    The heartbeat begins with the first study, so that a command that refuses its input leaves no folder behind.

    Args:
        what: is counted, such as "studies".
        out: the folder of the result.
        quiet: show nothing.
        shard: (index from 0, count); each share has a heartbeat of its own.
        resumes: whether the command, run again, goes on where it stopped.

    Raises:
        HeldError: another command is at work in `out`, or on this share of it.
        Interrupted: SIGTERM or SIGUSR1 came before all was done.
    """
    from pectl.core.storage.holder import refuse_if_held
    from pectl.core.storage.status import StatusFile
    from pectl.training.stopping import stop_requests

    status = StatusFile(out / status_name(shard))
    refuse_if_held(status.path)
    with progress(what, quiet=quiet) as show, log_lines(quiet=quiet), stop_requests() as stop:
        watch = Watch(what, status, show, stop, quiet=quiet, resumes=resumes)
        try:
            yield watch
        except BaseException as error:
            ended = bool(stop) and isinstance(error, WorkerError)  # workers got the signal too, and died of it
            status.end("interrupted" if ended or isinstance(error, Interrupted) else "failed", error=str(error))
            if ended:
                raise watch.interrupted() from error
            raise
        status.end("done")


def show_estimate(estimate: "Estimate", *, quiet: bool) -> None:
    """Print what a command will need, on stderr as its progress."""
    if not quiet:
        console(stderr=True).print(f"estimated: {estimate}", markup=False)


def status_name(shard: tuple[int, int] | None) -> str:
    """Return the name of the heartbeat of a command, or of one share of its work."""
    return "status.json" if shard is None else f"status-{shard[0] + 1}-of-{shard[1]}.json"
