"""The receiving half of the node: C-STORE and C-ECHO. An object is on the disk before Success is answered.

Nothing is decoded here. Each object is looked through up to StudyInstanceUID, for whose study it is; then its bytes are
written as they came.
"""

import logging
import shutil
import struct
import warnings
import zlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, _config, evt
from pynetdicom.dsutils import encode_file_meta
from pynetdicom.events import Event
from pynetdicom.sop_class import Verification

from pectl.errors import PacsError
from pectl.pacs.address import Peer
from pectl.pacs.metrics import Metrics
from pectl.pacs.spool import Spool
from pectl.pacs.tls import TlsFiles

SUCCESS, OUT_OF_RESOURCES, CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
"""Status of C-STORE (PS3.4 B.2.3)."""
NOT_THIS_PEER, NO_ROOM = (1, 1, 3), (2, 3, 2)
"""A-ASSOCIATE-RJ (PS3.8 9.3.4): for good, calling AE title not recognised; for now, local limit exceeded."""
MOST_ASSOCIATIONS = 64
PDU_BYTES = 1 << 17
"""The largest that dcmtk sends; an object of 512 x 512 pixels comes in five."""
_MANUFACTURER, _STUDY = 0x00080070, 0x0020000D
_LONGEST_HEAD = 1 << 20
"""Bytes of a deflated object that are looked through."""
_PREAMBLE = b"\0" * 128 + b"DICM"
_BROKEN = (EOFError, OSError, ValueError, KeyError, TypeError, AttributeError, NotImplementedError, struct.error)
"""What pydicom raises on bytes that are no dataset."""


class Head(NamedTuple):
    """What is looked at of an object."""

    study: str
    image: str
    manufacturer: str


@dataclass(frozen=True, kw_only=True)
class Door:
    """Who may come in, and what for.

    Attributes:
        ae_title: by which the node has to be called.
        port: to listen at; 0 for any that is free.
        bind: the address to listen at.
        peers: who may call; nobody else, unless there is none.
        tls: None for plain TCP.
        keep_free: bytes of the disk that are never filled.
        is_own: tells an object of pectl itself, which is answered Success and not kept.
    """

    ae_title: str
    port: int
    is_own: Callable[[Head], bool]
    bind: str = "127.0.0.1"
    peers: Collection[Peer] = ()
    tls: TlsFiles | None = None
    keep_free: int = 0


class Receiver:
    """Takes objects in through a door, in threads of its own, while the block lasts."""

    def __init__(self, door: Door, spool: Spool, metrics: Metrics) -> None:
        self._door, self._spool, self._metrics = door, spool, metrics
        self._entity = AE(door.ae_title)
        self._entity.require_called_aet = True
        self._entity.maximum_associations = MOST_ASSOCIATIONS
        self._entity.maximum_pdu_size = PDU_BYTES
        self._entity.add_supported_context(Verification)
        syntaxes = readable_syntaxes()
        for context in AllStoragePresentationContexts:
            self._entity.add_supported_context(context.abstract_syntax, syntaxes)
        self.port = door.port

    def __enter__(self) -> "Receiver":
        """Listen.

        Raises:
            PacsError: the address can't be listened at.
        """
        silence()
        door = self._door
        handlers = [(evt.EVT_REQUESTED, self._judge), (evt.EVT_C_STORE, self._store)]
        tls = None if door.tls is None else door.tls.server()
        try:
            server = self._entity.start_server(
                (door.bind, door.port), block=False, ssl_context=tls, evt_handlers=handlers
            )
        except OSError as error:
            raise PacsError(
                where=f"{door.bind}:{door.port}",
                expected="an address and a port to listen at",
                found=error.strerror or str(error),
                fix="choose another --port, or check --bind",
            ) from error
        self.port = server.server_address[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._entity.shutdown()

    def _has_room(self) -> bool:
        return shutil.disk_usage(self._spool.path).free > self._door.keep_free

    def _judge(self, event: Event) -> None:
        """Refuse an association of a stranger, or while there is no room."""
        requestor = event.assoc.requestor
        title = str(requestor.primitive.calling_ae_title).strip()
        peers = self._door.peers
        if peers and not any(peer.ae_title == title and requestor.address in peer.addresses for peer in peers):
            reason = NOT_THIS_PEER
        elif not self._has_room():
            reason = NO_ROOM
        else:
            return
        self._metrics.count("associations_refused")
        event.assoc.acse.send_reject(*reason)
        event.assoc.kill()  # once the refusal is out

    def _store(self, event: Event) -> int:
        """Keep an object, and return the status to answer."""
        status = self._kept(event)
        if status != SUCCESS:
            self._metrics.count("objects_refused")
        return status

    def _kept(self, event: Event) -> int:
        content: BytesIO = event.request.DataSet
        head = read_head(content, UID(event.context.transfer_syntax), str(event.request.AffectedSOPInstanceUID))
        if head is None:
            return CANNOT_UNDERSTAND
        if self._door.is_own(head):
            self._metrics.count("own_results_ignored")
            return SUCCESS
        if not self._has_room():
            return OUT_OF_RESOURCES
        pieces = (_PREAMBLE, encode_file_meta(event.file_meta), content.getbuffer())
        try:
            self._spool.put(head.study, head.image, pieces)
        except OSError:
            return OUT_OF_RESOURCES
        self._metrics.count("objects_received")
        self._metrics.count("bytes_received", sum(map(len, pieces)))
        return SUCCESS


def readable_syntaxes() -> list[UID]:
    """Return the transfer syntaxes that the intake can read: plain ones, and those that a plug-in decodes."""
    return [uid for uid in AllTransferSyntaxes if not uid.is_encapsulated or _is_decoded(uid)]


def _is_decoded(syntax: UID) -> bool:
    try:
        return bool(get_decoder(syntax).is_available)
    except NotImplementedError:
        return False


def read_head(content: BytesIO, syntax: UID, image: str) -> Head | None:
    """Return whose study an encoded dataset belongs to; None where it doesn't say it.

    Args:
        content: the dataset, from its first byte.
        syntax: its transfer syntax.
        image: SOPInstanceUID that the request named.
    """
    try:
        content.seek(0)
        if syntax.is_deflated:
            inflater = zlib.decompressobj(-zlib.MAX_WBITS)
            content = BytesIO(inflater.decompress(content.getbuffer(), _LONGEST_HEAD))
        found = read_dataset(
            content,
            syntax.is_implicit_VR,
            syntax.is_little_endian,
            stop_when=lambda tag, vr, length: tag > _STUDY,
            specific_tags=[_MANUFACTURER, _STUDY],
        )
        study = _text(found, _STUDY)
    except (*_BROKEN, zlib.error):
        return None
    return Head(study, image, _text(found, _MANUFACTURER)) if study else None


def _text(found: Dataset, tag: int) -> str:
    """Return a short text as it stands, without pydicom's judgement of it."""
    if tag not in found:
        return ""
    value = found.get_item(tag).value
    return value.decode("latin-1").strip("\0 ") if isinstance(value, bytes) else str(value or "")


def silence() -> None:
    """Keep the libraries from remarks: these name peers and objects, and hold values of attributes."""
    _config.LOG_HANDLER_LEVEL = "none"
    for name in ("pynetdicom", "pydicom"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    warnings.filterwarnings("ignore", module="pydicom")
