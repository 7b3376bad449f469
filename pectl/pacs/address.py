"""Whom the node hears and whom it answers, as they are written on a command line."""

import re
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from pectl.errors import PacsError

_AE_TITLE = re.compile(r"[ -\[\]-~]{1,16}")
"""VR AE (PS3.5 6.2): 1 to 16 characters, no control character, no backslash."""
_LAST_PORT = 65535


@dataclass(frozen=True)
class Peer:
    """A DICOM node that sends: its AE title, and the addresses that its host has."""

    ae_title: str
    addresses: frozenset[str]

    @classmethod
    def parse(cls, text: str) -> "Peer":
        """Read AET@HOST.

        Raises:
            PacsError: it isn't that, or the host has no address.
        """
        ae_title, _, host = text.rpartition("@")
        if not host or not is_ae_title(ae_title):
            raise _refused("--allow", "AET@HOST", text, "as in --allow ORTHANC@127.0.0.1")
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError as error:
            found_error = f"no address of {host}: {error.strerror}"
            raise _refused("--allow", "a host with an address", found_error, "check its name") from error
        return cls(ae_title.strip(), frozenset(str(one[4][0]) for one in found))


@dataclass(frozen=True)
class Node:
    """A DICOM node that receives: AE title, host and port."""

    ae_title: str
    host: str
    port: int


@dataclass(frozen=True)
class Web:
    """A DICOMweb server: the URL that STOW-RS and QIDO-RS begin with, without a slash at the end."""

    url: str


def parse_destination(text: str) -> Node | Web:
    """Read AET@HOST:PORT, or the URL of a DICOMweb server.

    Raises:
        PacsError: it is neither.
    """
    if text.startswith(("http://", "https://")):
        parts = urlsplit(text)
        if not parts.hostname or parts.username or parts.query or parts.fragment:
            fix = "name host and path alone; who you are is read from ~/.netrc"
            raise _refused("--send", "the URL of a DICOMweb server", parts.hostname or "no host", fix)
        return Web(text.rstrip("/"))
    ae_title, _, rest = text.rpartition("@")
    host, _, port = rest.rpartition(":")
    if not (host and is_ae_title(ae_title) and port.isdecimal() and 0 < int(port) <= _LAST_PORT):
        raise _refused("--send", "AET@HOST:PORT or a URL", text, "as in --send ORTHANC@127.0.0.1:4242")
    return Node(ae_title.strip(), host.strip("[]"), int(port))


def is_ae_title(text: str) -> bool:
    """Tell whether a text is an AE title."""
    return bool(text.strip()) and _AE_TITLE.fullmatch(text) is not None


def _refused(where: str, expected: str, found: str, fix: str) -> PacsError:
    return PacsError(where=where, expected=expected, found=found, fix=fix)
