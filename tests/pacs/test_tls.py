"""TLS: certificates that can't be used are said in one line."""

import pytest

from pectl.errors import PacsError
from pectl.pacs.tls import TlsFiles


def test_files_that_are_no_certificates(tmp_path):
    text = tmp_path / "x.pem"
    text.write_text("no certificate")
    for files in (TlsFiles(text, text, text), TlsFiles(tmp_path / "no", text, text)):
        with pytest.raises(PacsError, match=r"expected a certificate, its key without a password, .* check --tls-cert"):
            files.server()
        with pytest.raises(PacsError, match=r"as PEM files, found "):
            files.client()
