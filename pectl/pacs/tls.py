"""TLS between DICOM nodes: both sides show a certificate of an authority that the other knows (PS3.15 B)."""

import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pectl.errors import PacsError


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the node's certificate, its private key, and the authority of those that it trusts."""

    certificate: Path
    key: Path
    authority: Path

    def server(self) -> ssl.SSLContext:
        """Return how to be called.

        Raises:
            PacsError: a file can't be used.
        """
        return self._loaded(_Unhurried(ssl.PROTOCOL_TLS_SERVER))

    def client(self) -> ssl.SSLContext:
        """Return how to call.

        Raises:
            PacsError: a file can't be used.
        """
        return self._loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _loaded(self, context: ssl.SSLContext) -> ssl.SSLContext:
        try:
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            context.load_cert_chain(self.certificate, self.key)
            context.load_verify_locations(self.authority)
        except OSError as error:  # SSLError is one
            raise PacsError(
                where=f"{self.certificate}, {self.key}, {self.authority}",
                expected="a certificate, its key without a password, and an authority, as PEM files",
                found=error.strerror or str(error),
                fix="check --tls-cert, --tls-key and --tls-ca",
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
        return context


class _Unhurried(ssl.SSLContext):
    """Shakes hands with the first bytes that are read, in the thread of that connection.

    pynetdicom would do it in the thread that accepts: who connects and says nothing would keep everybody else out.
    """

    def wrap_socket(
        self,
        sock: socket.socket,
        *arguments: Any,  # noqa: ANN401 - ssl's own
        **named: Any,  # noqa: ANN401
    ) -> ssl.SSLSocket:
        """Wrap a socket, and leave the handshake for later."""
        return super().wrap_socket(sock, *arguments, **named | {"do_handshake_on_connect": False})
