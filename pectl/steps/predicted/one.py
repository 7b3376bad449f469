"""One study, from what was read of it to all that is written of it; the model and its folder stay for the next."""

from collections.abc import Callable
from functools import cache, partial
from typing import TYPE_CHECKING

from pectl.core.intake.findings import Finding
from pectl.core.intake.verdicts import Verdict
from pectl.core.storage.files import write_bytes
from pectl.core.storage.processes import find_processes
from pectl.core.stores.study_store import Study
from pectl.inference.prediction import Prediction
from pectl.inference.studies import Read, Ticket
from pectl.report.worklist.thumbnail import draw_thumbnail
from pectl.steps.predicted.folder import PredictionFolder, name_of

if TYPE_CHECKING:  # torch comes with them, and is imported while studies are looked for
    from pectl.dicom_output.result import Kind
    from pectl.explanation.explainer import Explanation
    from pectl.inference.device import DeviceName, Engine
    from pectl.inference.instrument import Instrument
    from pectl.steps.predicted.dicom import Outcome


class StudyPredictor:
    """A model on its device, and the folder that it fills."""

    def __init__(
        self,
        instrument: "Instrument",
        folder: PredictionFolder,
        *,
        device: "DeviceName" = "auto",
        kinds: "tuple[Kind, ...]" = (),
        explain: bool = False,
    ) -> None:
        self._instrument, self._folder, self._kinds, self._explains = instrument, folder, kinds, explain
        self._engine: Engine = instrument.engine(device, local_rank=find_processes().local_rank)

    def predict(self, ticket: Ticket, read: Read | None) -> "tuple[Prediction, str]":
        """Predict a study; its JSON is written last, and says that all is there.

        Args:
            ticket: of the study.
            read: what was read of it; None where the reader was killed over it.

        Returns:
            What is said of it, and why no DICOM object of it could be written, if that was asked for; else nothing.
        """
        if read is None:
            lost = Verdict(study=ticket.uid, series="", choice="", findings=(Finding("reader_killed", ""),))
            prediction = self._instrument.answer(lost, None, self._engine).prediction
            self._folder.write(ticket, prediction, again=True)
            return prediction, ""
        prediction, told = self._answer(ticket, read)
        error, again = "", False
        if read.study is not None and prediction.state != "refused":
            heat = self._heat(read.study) if prediction.state in ("flagged", "undecided") else None
            if heat is not None and self._explains:
                self._explain(ticket, prediction, read.study, heat())
            if self._kinds:
                made = self._write_dicom(ticket, prediction, read.study, heat)
                told, error, again = told | made.kinds, made.error, made.again
        self._folder.write(ticket, prediction, told, again=again)
        return prediction, error

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
        from pectl.steps.predicted.explain import explain_predicted

        return cache(partial(explain_predicted, self._instrument, self._engine, study))

    def _explain(self, ticket: Ticket, prediction: Prediction, study: Study, explanation: "Explanation") -> None:
        from pectl.steps.predicted.explain import write_explained

        out = self._folder.explanation(name_of(ticket)).parent
        write_explained(self._instrument, study, explanation, out, seen=prediction.seen)

    def _write_dicom(
        self, ticket: Ticket, prediction: Prediction, study: Study, heat: "Callable[[], Explanation] | None"
    ) -> "Outcome":
        from pectl.steps.predicted.dicom import write_predicted

        return write_predicted(prediction, study, ticket, self._folder.dicom, self._kinds, heat)
