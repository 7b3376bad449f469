"""The folder of a worklist on disk: a JSON for each study, and the tables that follow from these."""

import csv
import io
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pectl.core.labels.names import EXAM_LABELS, IMAGE, PE_PRESENT, STUDY
from pectl.core.storage.files import read_json, write_json, write_text
from pectl.core.storage.stamp import Stamp, digest_of, read_stamp, write_stamp
from pectl.errors import LineageError, StoreError
from pectl.inference.prediction import Model, Prediction
from pectl.inference.studies import Ticket
from pectl.inference.worklist import Row

MADE_BY = "pectl predict"
FORMAT, VERSION = "pectl-worklist", 1
WRITTEN = "written"
"""Is said of DICOM objects that are there; of others is said why not."""
_SCORE = ".9g"
"""Keeps float32 scores exactly, as evaluate's tables do."""


class PredictionFolder:
    """A folder of `predict`. Who is on the list stays there: rows are made of every study that the folder holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Row] = {}

    def begin(self, model: Model) -> None:
        """Claim the folder for a model, or check that it is the model's.

        Raises:
            LineageError: it holds predictions of another model; both digests are named.
            StoreError: it can't be written.
        """
        marker = self.path / "predictions.json"
        if not marker.exists():
            made_from = {"model": model.digest}
            stamp = Stamp(format=FORMAT, version=VERSION, digest=model.digest, made_from=made_from, config_digest="")
            write_stamp(marker, stamp, model=model.name, model_version=model.version)
            return
        found, _ = read_stamp(marker, format=FORMAT, version=VERSION, made_by=MADE_BY)
        if found.digest != model.digest:
            raise LineageError(
                where=self.path,
                expected=f"predictions of the model {model.digest}",
                found=f"some of {found.digest}",
                fix="choose another --out: a list has one model",
            )

    def file(self, name: str, suffix: str) -> Path:
        """Return a study's file."""
        return self.path / "studies" / f"{name}{suffix}"

    def explanation(self, name: str) -> Path:
        """Return the page that explains a study, there or not."""
        return self.path / "explanations" / name / "index.html"

    @property
    def dicom(self) -> Path:
        """Return the folder of DICOM objects, a folder of each study inside."""
        return self.path / "dicom"

    def is_done(self, ticket: Ticket, model: Model, kinds: Sequence[str] = ()) -> bool:
        """Tell whether these very files of a study have been predicted, and these kinds of DICOM objects made of it."""
        data = self._of(ticket, model)
        if data is None or data.get("state") == "refused":
            return data is not None
        told = data.get("dicom", {})
        return all(kind in told and (told[kind] != WRITTEN or self._holds(ticket.uid, kind)) for kind in kinds)

    def _holds(self, uid: str, kind: str) -> bool:
        return next((self.dicom / uid).glob(f"{kind}*.dcm"), None) is not None

    def kept(self, ticket: Ticket, model: Model) -> tuple[Prediction, dict[str, str]] | None:
        """Return what was said of these very files of a study, and what became of its DICOM objects by kind."""
        data = self._of(ticket, model)
        return None if data is None else (self._read(name_of(ticket))[0], data.get("dicom", {}))

    def _of(self, ticket: Ticket, model: Model) -> dict[str, Any] | None:
        """Return a study's JSON, if it is of these very files."""
        path = self.file(name_of(ticket), ".json")
        data = read_json(path, made_by=MADE_BY) if path.exists() else {}
        return data if data.get("source") == _source(ticket, model) else None

    def write(
        self, ticket: Ticket, prediction: Prediction, dicom: Mapping[str, str] | None = None, *, again: bool = False
    ) -> None:
        """Write a study's JSON.

        Args:
            ticket: of the study.
            prediction: what is said of it.
            dicom: what became of its DICOM objects by kind.
            again: what went wrong may go well another time: the next run does the study anew.
        """
        source = "" if again else _source(ticket, prediction.model)
        more = {"arrived": ticket.arrived, "source": source} | ({"dicom": dict(dicom)} if dicom else {})
        name = name_of(ticket)
        write_json(self.file(name, ".json"), prediction.to_dict() | more)
        self._known[name] = _row(name, prediction, ticket.arrived)

    def rows(self) -> list[Row]:
        """Return every study on the list; those that this process has seen aren't read anew.

        Raises:
            StoreError: a study's file is damaged.
        """
        for name in self._names():
            if name not in self._known:
                prediction, arrived = self._read(name)
                self._known[name] = _row(name, prediction, arrived)
        return list(self._known.values())

    def look_again(self, name: str) -> None:
        """Forget what was read of a study, because another process has written it anew."""
        self._known.pop(name, None)

    def remove(self, name: str) -> None:
        """Take a study off the list, with all that was written of it."""
        for path in (self.file(name, ".json"), self.file(name, ".jpg")):
            path.unlink(missing_ok=True)
        for folder in (self.dicom / name, self.explanation(name).parent):
            shutil.rmtree(folder, ignore_errors=True)
        self.look_again(name)

    def _names(self) -> list[str]:
        return sorted(path.stem for path in (self.path / "studies").glob("*.json"))

    def _read(self, name: str) -> tuple[Prediction, float]:
        path = self.file(name, ".json")
        data = read_json(path, made_by=MADE_BY)
        try:
            return Prediction.from_dict(data), float(data["arrived"])
        except (KeyError, TypeError, ValueError) as error:
            raise StoreError(
                where=path,
                expected="what is said of a study",
                found=f"another JSON ({error!r})",
                fix=f"delete it and run {MADE_BY} again",
            ) from error

    def write_images(self) -> None:
        """Write `images.csv`: PE on every image, by SOPInstanceUID."""
        head = (IMAGE, STUDY, "score", "consistent")
        write_text(self.path / "images.csv", _csv(head, self._images()))

    def _images(self) -> Iterator[tuple[str, ...]]:
        for name in self._names():
            prediction, _ = self._read(name)
            for one in prediction.images:
                scores = (format(one.score, _SCORE), format(one.consistent, _SCORE))
                yield (one.sop_instance_uid, prediction.study, *scores)

    def write_table(self, listed: Sequence[tuple[Row, bool]]) -> None:
        """Write `worklist.csv`, in the order of the rows, each with whether it waits too long."""
        labels = (PE_PRESENT, *EXAM_LABELS)
        told = ("state", "waits_too_long", "code", "detail", "unlike", "seen_in_training", "arrived", "hottest_image")
        head = ("place", STUDY, *told, *labels, *(f"{name}_called" for name in labels))
        lines = (_line(place, row, late) for place, (row, late) in enumerate(listed, 1))
        write_text(self.path / "worklist.csv", _csv(head, lines))


def name_of(ticket: Ticket) -> str:
    """Return the name of a study's files: its UID. Without one, a name and what tells it from those of other runs."""
    return f"{ticket.uid}-{ticket.digest[:8]}" if ticket.uid.startswith("unnamed-") else ticket.uid


def _source(ticket: Ticket, model: Model) -> str:
    return digest_of("prediction", VERSION, ticket.digest, model.digest)


def _row(name: str, prediction: Prediction, arrived: float) -> Row:
    return Row(name=name, prediction=replace(prediction, images=()), arrived=arrived)


def _line(place: int, row: Row, late: bool) -> tuple[str, ...]:
    said = row.prediction
    answers = [said.answers[name] for name in (PE_PRESENT, *EXAM_LABELS)] if said.answers else []
    blank = [""] * 2 * (len(EXAM_LABELS) + 1)
    numbers = [format(one.probability, _SCORE) for one in answers]
    calls = ["" if one.called is None else str(int(one.called)) for one in answers]
    outcome = said.findings[0]
    told = (said.state, str(int(late)), outcome.code, outcome.detail, "; ".join(said.unlike), str(int(said.seen)))
    return (str(place), said.study, *told, when(row.arrived), said.hottest, *(numbers + calls or blank))


def when(seconds: float) -> str:
    """Write a time as UTC; nothing where it isn't known."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds") if seconds else ""


def _csv(head: Sequence[str], lines: Iterator[tuple[str, ...]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows(lines)
    return text.getvalue()
