"""Predict any number of studies with one loaded model, each by itself, and keep the worklist of all.

A process beside this one finds and reads the studies: the first while this one imports torch and loads the model, the
next while the model works. What it dies of is one study's fault, and the others go on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pectl.config import PreprocessConfig
from pectl.core.intake.findings import Fault
from pectl.core.storage.files import nothing_left
from pectl.core.storage.workers import Helper
from pectl.core.volumes.stated import Given, Stated
from pectl.errors import InputMissingError, Interrupted, PectlError
from pectl.inference.prediction import Model
from pectl.inference.studies import Found, Read, Ticket
from pectl.inference.worklist import Row
from pectl.steps.predicted.folder import PredictionFolder
from pectl.steps.predicted.one import StudyPredictor
from pectl.steps.predicted.worklist import Worklist

if TYPE_CHECKING:  # torch comes with them, and is imported while studies are looked for
    from pectl.dicom_output.result import Kind
    from pectl.inference.device import DeviceName
    from pectl.inference.instrument import Instrument

Progress = Callable[[int, int], None]
LIST_SECONDS = 60.0
"""Seconds between two writings of the list, while studies are predicted."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is wanted beside predictions.

    Attributes:
        shard: (index from 0, count): only this share of the studies.
        index: folder that keeps the headers of DICOM files; None chooses one inside the output.
        device: where to compute: auto, cpu or cuda.
        waiting_minutes: studies that have waited for longer come first; None for no limit.
        explain: draw heat for studies that are flagged or undecided.
        stated: of volumes that aren't DICOM.
        kinds: of DICOM objects to write beside studies that are read.
        progress: called with (studies done, studies of this run).
    """

    shard: tuple[int, int] | None = None
    index: Path | None = None
    device: "DeviceName" = "auto"
    waiting_minutes: float | None = None
    explain: bool = False
    stated: Stated = field(default_factory=Stated)
    kinds: "tuple[Kind, ...]" = ()
    progress: Progress = field(default=lambda done, total: None)


@dataclass(frozen=True)
class PredictSummary:
    """What a run of `predict` did.

    Attributes:
        rows: every study on the list, in its order.
        n_done: studies that this run predicted or refused.
        n_skipped: studies that were there already.
        faults: files that can't be used.
        without_dicom: studies of this run of which no DICOM object could be written, with the reason.
    """

    rows: tuple[Row, ...]
    n_done: int
    n_skipped: int
    faults: tuple[Fault, ...]
    without_dicom: tuple[tuple[str, str], ...] = ()

    @property
    def refused(self) -> tuple[Row, ...]:
        """Return the studies on the list that can't be used."""
        return tuple(row for row in self.rows if row.prediction.state == "refused")


class Loadable(Protocol):
    """A model: an `Instrument`, or an `UnloadedBundle`, with which studies are read while torch is imported."""

    @property
    def model(self) -> Model:
        """Who answers."""

    @property
    def preprocess(self) -> PreprocessConfig:
        """How studies are read for it."""

    def load(self) -> "Instrument":
        """Return it ready to answer."""


def predict_studies(sources: Sequence[Path], model: Loadable, out: Path, wish: Wish | None = None) -> PredictSummary:
    """Predict every study among the sources that the folder `out` doesn't hold yet.

    Args:
        sources: folders, files, archives, a DICOMDIR, or study stores.
        model: is loaded while the first studies are read.
        out: gets `studies/<UID>.json`, `images.csv`, `worklist.csv` and `worklist.html`, and `dicom/<UID>/` if asked.
        wish: what else is wanted.

    Raises:
        InputMissingError: no such source, or no study inside.
        DicomOutputError: DICOM objects are asked for, and the extra that writes them isn't installed.
        LineageError: a store of other preprocessing, or `out` holds predictions of another model.
        StoreError: the disk is full.
        WorkerError: the process that looks for studies was killed.
        Interrupted: a stop was asked for; the list of what is done has been written.
    """
    wish = wish or Wish()
    if wish.kinds:
        from pectl.dicom_output.write import check_extra

        check_extra()
    folder = PredictionFolder(out)
    with Helper("the process that reads studies", preload="pectl.inference.reading") as helper:
        with nothing_left(out, PectlError), ThreadPoolExecutor(1) as beside:
            # this thread imports torch: another one would take a third longer, as its memory is managed otherwise
            beginning = beside.submit(_begin_reading, helper, sources, model, folder, wish)
            instrument = model.load()
            found, todo, reads = beginning.result()
            folder.begin(instrument.model)
        run = _Run(instrument, folder, wish)
        run.predict(todo, reads)
    return PredictSummary(
        tuple(run.worklist.rows()), len(todo), len(found.tickets) - len(todo), found.faults, tuple(run.without_dicom)
    )


class _Reading(NamedTuple):
    """What was found, the studies to do, and what is read of each, the first of them already."""

    found: Found
    todo: list[Ticket]
    reads: Iterator[Read | None]


def _begin_reading(
    helper: Helper, sources: Sequence[Path], model: Loadable, folder: PredictionFolder, wish: Wish
) -> _Reading:
    given, index = Given(sources, wish.stated), wish.index or folder.path / "dicom_index"
    found = helper.value(helper.submit(find_tickets, given, index, wish.shard))
    helper.value(helper.submit(_check, sources, model.preprocess, model.model.name))
    todo = [ticket for ticket in found.tickets if not folder.is_done(ticket, model.model, wish.kinds)]
    return _Reading(found, todo, helper.results(partial(read_ticket, config=model.preprocess), todo))


def read_list(path: Path) -> list[Path]:
    """Read a list of sources, one a line; empty lines are left out.

    Raises:
        InputMissingError: no such file, or it isn't text.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputMissingError(
            where=path,
            expected="a text file with a folder or file on each line",
            found=getattr(error, "strerror", None) or "other bytes",
            fix="check the path of --list",
        ) from error
    return [Path(line.strip()) for line in lines if line.strip()]


def find_tickets(given: Given, index: Path, shard: tuple[int, int] | None = None) -> Found:
    """Find the studies, in the other process."""
    from pectl.inference.reading import find_studies

    return find_studies(given, index=index, shard=shard)


def _check(sources: Sequence[Path], config: PreprocessConfig, model: str) -> None:
    """Compare stores with the model's preprocessing, in the other process."""
    from pectl.inference.reading import check_stores

    check_stores(sources, config, model=model)


def read_ticket(ticket: Ticket, config: PreprocessConfig) -> Read:
    """Read a study, in the other process."""
    from pectl.inference.reading import read

    return read(ticket, config)


class _Run:
    """One call: studies one after another, and the list of them now and then."""

    def __init__(self, instrument: "Instrument", folder: PredictionFolder, wish: Wish) -> None:
        self._instrument, self._wish = instrument, wish
        self._one = StudyPredictor(instrument, folder, device=wish.device, kinds=wish.kinds, explain=wish.explain)
        self.worklist = Worklist(folder, waiting_minutes=wish.waiting_minutes)
        self.without_dicom: list[tuple[str, str]] = []

    def predict(self, todo: Sequence[Ticket], reads: Iterator[Read | None]) -> None:
        """Predict studies as they are read; write the list now and then, where a stop is asked for, and at the end."""
        due = time.monotonic() + LIST_SECONDS
        try:
            for done, (ticket, read) in enumerate(zip(todo, reads, strict=True), 1):
                prediction, error = self._one.predict(ticket, read)
                if error:
                    self.without_dicom.append((prediction.study, error))
                if time.monotonic() > due:
                    self.worklist.write(self._instrument.model)
                    due = time.monotonic() + LIST_SECONDS
                self._wish.progress(done, len(todo))
        except Interrupted:
            self.worklist.write(self._instrument.model)
            raise
        self.worklist.write(self._instrument.model)
