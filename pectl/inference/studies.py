"""Studies on their way to a model, as processes hand them to each other. Imports nothing that reads DICOM."""

from pathlib import Path
from typing import NamedTuple

from pectl.core.intake.findings import Fault, Finding
from pectl.core.intake.verdicts import Verdict
from pectl.core.stores.study_store import Study


class Ticket(NamedTuple):
    """A study that was found and isn't read yet."""

    uid: str
    """StudyInstanceUID, or its stand-in."""
    digest: str
    """Identity of its files: UIDs, sizes and times."""
    arrived: float
    """When its last file was written, in seconds since 1970; 0 where that isn't known."""
    headers: tuple[bytes, ...] = ()
    """Packed, of its DICOM files; see `PackedStudy`."""
    notes: tuple[Finding, ...] = ()
    """What was noted while its files were looked for."""
    store: Path | None = None
    """The study store that holds it, if one does."""


class Found(NamedTuple):
    """The studies among the sources by arrival, and files that can't be used."""

    tickets: tuple[Ticket, ...]
    faults: tuple[Fault, ...]


class Read(NamedTuple):
    """A study as the intake leaves it."""

    verdict: Verdict
    study: Study | None
    """None where it is refused."""
