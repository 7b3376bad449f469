"""What can be chosen about a node that listens."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pectl.pacs.tls import TlsFiles

if TYPE_CHECKING:  # torch comes with it
    from pectl.inference.device import DeviceName


@dataclass(frozen=True, kw_only=True)
class Listening:
    """How a node listens and answers.

    Attributes:
        model: a bundle.
        out: folder of the spool, the worklist and the DICOM objects.
        send: AET@HOST:PORT, or the URL of a DICOMweb server.
        ae_title: of the node.
        port: to listen at; None to work off what is there, and end.
        bind: address to listen at.
        allow: AET@HOST of each peer that may call.
        tls: for DIMSE in both directions.
        quiet_seconds: a study is complete when nothing came for so long.
        at_most_seconds: or when its first object came so long ago.
        give_up_seconds: an answer that couldn't be sent for so long has failed.
        keep_free: bytes of the disk that are never filled.
        keep_days: then images and answers of studies that were sent or refused are taken away.
        kinds: of DICOM objects to send.
        device: where to compute.
    """

    model: Path
    out: Path
    send: str
    ae_title: str = "PECTL"
    port: int | None = None
    bind: str = "127.0.0.1"
    allow: tuple[str, ...] = ()
    tls: TlsFiles | None = None
    quiet_seconds: float = 60.0
    at_most_seconds: float = 900.0
    give_up_seconds: float = 24 * 3600.0
    keep_free: int = 1 << 30
    keep_days: float = 7.0
    kinds: tuple[str, ...] = ("sr", "key-images")
    device: "DeviceName" = "auto"
