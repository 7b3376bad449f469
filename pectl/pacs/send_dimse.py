"""Sending by C-STORE, reading back by C-FIND."""

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TypeVar

import pydicom
from pydicom.dataset import Dataset
from pynetdicom import AE
from pynetdicom.association import Association
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

from pectl.core.dicom.tags import quiet_pydicom
from pectl.errors import PacsError
from pectl.pacs.address import Node
from pectl.pacs.send import Outgoing
from pectl.pacs.tls import TlsFiles

Result = TypeVar("Result")
CONNECT_SECONDS, ANSWER_SECONDS = 10.0, 60.0
_SUCCESS, _WARNINGS = 0x0000, (0xB000, 0xB006, 0xB007)
"""Status of C-STORE; with a warning the object is stored (PS3.4 B.2.3)."""
_PENDING = (0xFF00, 0xFF01)
"""Status of C-FIND, one for each match (PS3.4 C.4.1.1.4)."""


class DimseDestination:
    """A DICOM node that stores, and answers queries of what it holds."""

    def __init__(self, node: Node, *, ae_title: str, tls: TlsFiles | None = None) -> None:
        self.name = f"{node.ae_title}@{node.host}:{node.port}"
        self._node, self._ae_title = node, ae_title
        self._tls: ssl.SSLContext | None = None if tls is None else tls.client()

    @contextmanager
    def open(self, items: Sequence[Outgoing]) -> Iterator["_Link"]:
        """Open an association for objects of these kinds.

        Raises:
            PacsError: nobody there, or it refuses.
        """
        entity = AE(self._ae_title)
        entity.connection_timeout = CONNECT_SECONDS
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = ANSWER_SECONDS
        entity.add_requested_context(Find)
        for sop_class, syntax in sorted({(item.sop_class, item.syntax) for item in items}):
            entity.add_requested_context(sop_class, syntax)
        node = self._node
        tls = None if self._tls is None else (self._tls, node.host)
        association = entity.associate(node.host, node.port, ae_title=node.ae_title, tls_args=tls)
        try:
            if not association.is_established:
                raise self._refused(f"to be let in as {self._ae_title}", _why_not(association))
            yield _Link(association, self._refused)
        finally:
            if association.is_established:
                association.release()

    def _refused(self, expected: str, found: str) -> PacsError:
        fix = f"check the receiver, and that it lets {self._ae_title} store and find"
        return PacsError(where=self.name, expected=expected, found=found, fix=fix)


class _Link:
    """An open association."""

    def __init__(self, association: Association, refused: Callable[[str, str], PacsError]) -> None:
        self._association, self._refused = association, refused

    def holds(self, item: Outgoing) -> bool:
        """Ask for one object, by C-FIND."""
        wanted = Dataset()
        wanted.QueryRetrieveLevel = "IMAGE"
        wanted.StudyInstanceUID, wanted.SeriesInstanceUID, wanted.SOPInstanceUID = item.study, item.series, item.image
        found = False
        for status, match in self._call(lambda: list(self._association.send_c_find(wanted, Find)), "C-FIND"):
            code = status.get("Status")
            if code in _PENDING and match is not None:
                found = found or match.get("SOPInstanceUID") == item.image
            elif code != _SUCCESS:
                raise self._refused("an answer to C-FIND", _told(code))
        return found

    def store(self, items: Sequence[Outgoing]) -> None:
        """Send objects one after another, by C-STORE."""
        for item in items:
            with quiet_pydicom():
                dataset = pydicom.dcmread(item.path)
                code = self._call(partial(self._association.send_c_store, dataset), "C-STORE").get("Status")
            if code != _SUCCESS and code not in _WARNINGS:
                raise self._refused("an object to be stored", _told(code))

    def _call(self, send: Callable[[], Result], what: str) -> Result:
        """Send a request.

        Raises:
            PacsError: what it needs wasn't agreed on, or the association has ended.
        """
        try:
            return send()
        except (ValueError, RuntimeError) as error:
            gone = isinstance(error, RuntimeError)
            found = "the end of the association" if gone else "a kind of object that it doesn't take"
            raise self._refused(what, found) from error


def _told(code: int | None) -> str:
    return "no answer" if code is None else f"status 0x{code:04X}"


def _why_not(association: Association) -> str:
    if not association.is_rejected:
        return "no answer, or an abort"
    return f"a refusal: {association.acceptor.primitive.reason_str.lower()}"
