"""The sending half of the node: objects of an answer go out, and the receiver is asked whether it holds them.

A receiver was seen to answer Success and to keep what it had, so that what it says of itself later is what counts.
UIDs follow from what an object says: one that is there already needs no sending.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol

import pydicom

from pectl.core.dicom.tags import quiet_pydicom
from pectl.errors import PacsError


class Outgoing(NamedTuple):
    """An object to be sent: its file, and what identifies it."""

    path: Path
    sop_class: str
    syntax: str
    study: str
    series: str
    image: str


class Link(Protocol):
    """An open connection to a receiver."""

    def holds(self, item: Outgoing) -> bool:
        """Tell whether the receiver lists an object."""

    def store(self, items: Sequence[Outgoing]) -> None:
        """Send objects; a PacsError where the receiver doesn't take one."""


class Destination(Protocol):
    """A receiver."""

    name: str

    def open(self, items: Sequence[Outgoing]) -> AbstractContextManager[Link]:
        """Connect, ready to send these objects; a PacsError where that can't be done."""


def deliver(destination: Destination, paths: Iterable[Path]) -> int:
    """Send what a receiver doesn't hold yet, and see that it holds all of it then.

    Returns:
        How many objects were sent.

    Raises:
        PacsError: it can't be reached, doesn't take an object, or doesn't list one that it took.
    """
    items = [read_outgoing(path) for path in sorted(paths)]
    with destination.open(items) as link:
        absent = [item for item in items if not link.holds(item)]
        if absent:
            link.store(absent)
        lost = [item for item in absent if not link.holds(item)]
    if lost:
        raise PacsError(
            where=destination.name,
            expected=f"to find the {len(absent)} objects that it said it stored",
            found=f"{len(absent) - len(lost)}",
            fix="look into the receiver's log",
        )
    return len(absent)


def read_outgoing(path: Path) -> Outgoing:
    """Read what identifies an object that pectl wrote."""
    wanted = ["SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    with quiet_pydicom():
        header = pydicom.dcmread(path, specific_tags=list(wanted), stop_before_pixels=True)
    return Outgoing(
        path=path,
        sop_class=str(header.SOPClassUID),
        syntax=str(header.file_meta.TransferSyntaxUID),
        study=str(header.StudyInstanceUID),
        series=str(header.SeriesInstanceUID),
        image=str(header.SOPInstanceUID),
    )
