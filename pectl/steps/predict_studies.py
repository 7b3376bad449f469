"""Predict any number of studies with one loaded model, each by itself, and keep the worklist of all.

A process beside this one finds and reads the studies: it looks for them while this one imports torch and loads the
model, and reads the next while the model works. What it dies of is one study's fault, and the others go on.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.config import PreprocessConfig
from pectl.core.intake.findings import Fault, Finding
from pectl.core.intake.verdicts import Verdict
from pectl.core.storage.files import nothing_left, write_bytes
from pectl.core.storage.processes import find_processes
from pectl.core.storage.workers import Helper
from pectl.core.stores.study_store import Study
from pectl.errors import InputMissingError, Interrupted, PectlError
from pectl.inference.prediction import Prediction
from pectl.inference.studies import Found, Read, Ticket
from pectl.inference.worklist import Row
from pectl.report.worklist.page import Entry, write_worklist
from pectl.report.worklist.thumbnail import draw_thumbnail
from pectl.steps.prediction_folder import PredictionFolder, name_of

if TYPE_CHECKING:  # torch comes with them, and is imported while studies are looked for
    from pectl.dicom_output.result import Kind
    from pectl.explanation.explainer import Explanation
    from pectl.inference.device import DeviceName, Engine
    from pectl.inference.instrument import Instrument
    from pectl.steps.dicom_predicted import Outcome

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
        kinds: of DICOM objects to write beside studies that are read.
        progress: called with (studies done, studies of this run).
    """

    shard: tuple[int, int] | None = None
    index: Path | None = None
    device: "DeviceName" = "auto"
    waiting_minutes: float | None = None
    explain: bool = False
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


def predict_studies(
    sources: Sequence[Path], load: "Callable[[], Instrument]", out: Path, wish: Wish | None = None
) -> PredictSummary:
    """Predict every study among the sources that the folder `out` doesn't hold yet.

    Args:
        sources: folders, files, archives, a DICOMDIR, or study stores.
        load: returns the model; it is called once.
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
    with Helper(preload="pectl.inference.reading") as helper:
        with nothing_left(out, PectlError):
            finding = helper.submit(_find, sources, wish.index or out / "dicom_index", wish.shard)
            instrument = load()
            found = helper.value(finding)
            helper.value(helper.submit(_check, sources, instrument.preprocess, instrument.name))
            folder.begin(instrument.model)
        todo = [ticket for ticket in found.tickets if not folder.is_done(ticket, instrument.model, wish.kinds)]
        run = _Run(instrument, folder, wish)
        run.predict(helper, todo)
    return PredictSummary(
        tuple(run.listed()), len(todo), len(found.tickets) - len(todo), found.faults, tuple(run.without_dicom)
    )


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


def _find(sources: Sequence[Path], index: Path, shard: tuple[int, int] | None) -> Found:
    """Find the studies, in the other process."""
    from pectl.inference.reading import find_studies

    return find_studies(sources, index=index, shard=shard)


def _check(sources: Sequence[Path], config: PreprocessConfig, model: str) -> None:
    """Compare stores with the model's preprocessing, in the other process."""
    from pectl.inference.reading import check_stores

    check_stores(sources, config, model=model)


def _read(ticket: Ticket, config: PreprocessConfig) -> Read:
    """Read a study, in the other process."""
    from pectl.inference.reading import read

    return read(ticket, config)


class _Run:
    """One call: the model on its device, and the folder that it fills."""

    def __init__(self, instrument: "Instrument", folder: PredictionFolder, wish: Wish) -> None:
        self._instrument, self._folder, self._wish = instrument, folder, wish
        rank = find_processes().local_rank
        self._engine: Engine = instrument.engine(wish.device, local_rank=rank)
        self.without_dicom: list[tuple[str, str]] = []

    def predict(self, helper: Helper, todo: Sequence[Ticket]) -> None:
        """Predict studies, and write the list now and then, where a stop is asked for, and at the end."""
        due = time.monotonic() + LIST_SECONDS
        results = helper.results(partial(_read, config=self._instrument.preprocess), todo)
        try:
            for done, (ticket, read) in enumerate(zip(todo, results, strict=True), 1):
                self._predict_one(ticket, read)
                if time.monotonic() > due:
                    self._write_list()
                    due = time.monotonic() + LIST_SECONDS
                self._wish.progress(done, len(todo))
        except Interrupted:
            self._write_list()
            raise
        self._write_list()

    def _predict_one(self, ticket: Ticket, read: Read | None) -> None:
        """Predict a study; its JSON is written last, and says that all is there."""
        if read is None:
            lost = Verdict(study=ticket.uid, series="", choice="", findings=(Finding("reader_killed", ""),))
            self._folder.write(ticket, self._instrument.answer(lost, None, self._engine).prediction, again=True)
            return
        prediction, told = self._answer(ticket, read)
        again = False
        if read.study is not None and prediction.state != "refused":
            heat = self._heat(read.study) if prediction.state in ("flagged", "undecided") else None
            if heat is not None and self._wish.explain:
                self._explain(ticket, prediction, read.study, heat())
            if self._wish.kinds:
                made = self._write_dicom(ticket, prediction, read.study, heat)
                told, again = told | made.kinds, made.again
        self._folder.write(ticket, prediction, told, again=again)

    def _answer(self, ticket: Ticket, read: Read) -> tuple[Prediction, dict[str, str]]:
        """Return what is said of a study, and what became of its DICOM objects; what was said before stays."""
        if (kept := self._folder.kept(ticket, self._instrument.model)) is not None:
            return kept
        prediction, slice_hu = self._instrument.answer(read.verdict, read.study, self._engine)
        if slice_hu is not None:
            write_bytes(self._folder.file(name_of(ticket), ".jpg"), draw_thumbnail(slice_hu))
        return prediction, {}

    def _heat(self, study: Study) -> "Callable[[], Explanation]":
        """Return what explains a study, once and only if it is called."""
        from pectl.steps.explain_predicted import explain_predicted

        return cache(partial(explain_predicted, self._instrument, self._engine, study))

    def _explain(self, ticket: Ticket, prediction: Prediction, study: Study, explanation: "Explanation") -> None:
        from pectl.steps.explain_predicted import write_explained

        out = self._folder.explanation(name_of(ticket)).parent
        write_explained(self._instrument, study, explanation, out, seen=prediction.seen)

    def _write_dicom(
        self, ticket: Ticket, prediction: Prediction, study: Study, heat: "Callable[[], Explanation] | None"
    ) -> "Outcome":
        from pectl.steps.dicom_predicted import write_predicted

        made = write_predicted(prediction, study, ticket, self._folder.dicom, self._wish.kinds, heat)
        if made.error:
            self.without_dicom.append((prediction.study, made.error))
        return made

    def listed(self) -> list[Row]:
        """Return the studies of the folder in the order of the list."""
        return [row for row, _ in self._ordered()]

    def _ordered(self) -> list[tuple[Row, bool]]:
        """Return the rows, each with whether it waits too long."""
        now, minutes = time.time(), self._wish.waiting_minutes
        limit = None if minutes is None else 60 * minutes
        ordered = Row.ordered(self._folder.rows(), now=now, limit_seconds=limit)
        return [(row, row.waits(now, limit)) for row in ordered]

    def _write_list(self) -> None:
        """Write the tables and the page; again where another process has added a study meanwhile."""
        while True:
            listed = self._ordered()
            self._folder.write_table(listed)
            write_worklist(self._folder.path, [self._entry(*one) for one in listed], self._instrument.model)
            self._folder.write_images()
            if len(self._folder.rows()) == len(listed):
                return

    def _entry(self, row: Row, late: bool) -> Entry:
        picture, page = self._folder.file(row.name, ".jpg"), self._folder.explanation(row.name)
        return Entry(
            row=row,
            late=late,
            picture=picture if picture.exists() else None,
            json=f"studies/{row.name}.json",
            explanation=f"explanations/{row.name}/{page.name}" if page.exists() else None,
        )
