"""TLS: both sides show a certificate of an authority that the other knows; whoever doesn't is kept out."""

import gc
import shutil
import socket
import ssl
import subprocess

import pydicom
import pytest
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find
from pynetdicom.sop_class import Verification

from pectl.errors import PacsError
from pectl.pacs.address import Node
from pectl.pacs.metrics import Metrics
from pectl.pacs.receive import Door, Receiver
from pectl.pacs.send import deliver
from pectl.pacs.send_dimse import DimseDestination
from pectl.pacs.spool import Spool
from pectl.pacs.tls import TlsFiles
from tests.pacs.conftest import debian

pytestmark = [  # pynetdicom's reactor thread of a refused handshake meets an event that its state doesn't know, and its
    # socket is left to the collector; the connection is refused all the same
    pytest.mark.filterwarnings("ignore:Exception in thread .*run_reactor:pytest.PytestUnhandledThreadExceptionWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <.*[sS]ocket:pytest.PytestUnraisableExceptionWarning"),
]
needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificates")


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(scope="module")
def hospitals(tmp_path_factory):
    """Make certificates for 127.0.0.1 of two authorities: one that the node knows, and a stranger."""
    made = {}
    for name in ("hospital", "stranger"):
        folder = tmp_path_factory.mktemp(name)
        ca, ca_key, key, request, certificate = (
            folder / one for one in ("ca.pem", "ca.key", "k.key", "k.csr", "k.pem")
        )
        (folder / "san").write_text("subjectAltName=IP:127.0.0.1")
        new = ("-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}")
        openssl("req", "-x509", "-days", "2", *new, "-keyout", ca_key, "-out", ca)
        openssl("req", *new, "-keyout", key, "-out", request)
        by = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "2", "-extfile", folder / "san")
        openssl("x509", "-req", "-in", request, *by, "-out", certificate)
        made[name] = TlsFiles(certificate, key, ca)
    return made


@pytest.fixture
def port(hospitals, tmp_path):
    """A receiver that speaks TLS."""
    spool = Spool(tmp_path / "spool")
    spool.open()
    door = Door(ae_title="PECTL", port=0, tls=hospitals["hospital"], is_own=lambda head: False)
    with Receiver(door, spool, Metrics()) as receiver:
        yield receiver.port
    gc.collect()


def connect(port: int, context: ssl.SSLContext | None):
    entity = AE("CT1")
    entity.connection_timeout = entity.acse_timeout = 20
    for sop_class in (Verification, CTImageStorage):
        entity.add_requested_context(sop_class)
    tls = None if context is None else (context, "127.0.0.1")
    return entity.associate("127.0.0.1", port, ae_title="PECTL", tls_args=tls)


@needs_openssl
def test_a_known_sender_is_heard(hospitals, port, tmp_path, write_series):
    write_series(tmp_path / "in", study="1.2.3", n_slices=1, size=(512, 512))
    dataset = pydicom.dcmread(next((tmp_path / "in").iterdir()))
    association = connect(port, hospitals["hospital"].client())
    assert association.is_established
    assert association.send_c_echo().Status == 0
    assert association.send_c_store(dataset).Status == 0
    association.release()
    [kept] = (tmp_path / "spool" / "received" / "1.2.3").iterdir()
    assert pydicom.dcmread(kept).PixelData == dataset.PixelData


@needs_openssl
def test_plain_tcp_no_certificate_and_a_strangers_are_refused(hospitals, port):
    good, other = hospitals["hospital"], hospitals["stranger"]
    nameless = ssl.create_default_context(cafile=good.authority)
    of_a_stranger = TlsFiles(other.certificate, other.key, good.authority).client()
    for context in (None, nameless, of_a_stranger):
        assert not connect(port, context).is_established
    association = connect(port, good.client())
    assert association.is_established
    association.release()


@needs_openssl
def test_who_connects_and_says_nothing_keeps_nobody_out(hospitals, port):
    with socket.create_connection(("127.0.0.1", port)):
        association = connect(port, hospitals["hospital"].client())
        assert association.is_established
        association.release()


@needs_openssl
def test_an_answer_goes_to_a_known_receiver_only(hospitals, tmp_path, write_series):
    write_series(tmp_path / "out", study="1.2.3", n_slices=1, size=(16, 16))
    held = []
    entity = AE("PACS")
    entity.add_supported_context(CTImageStorage)
    entity.add_supported_context(Find)

    def find(event):
        if event.identifier.SOPInstanceUID in held:
            yield 0xFF00, event.identifier

    def store(event):
        held.append(event.request.AffectedSOPInstanceUID)
        return 0

    for name in ("hospital", "stranger"):
        handlers = [(evt.EVT_C_FIND, find), (evt.EVT_C_STORE, store)]
        tls = hospitals[name].server()
        server = entity.start_server(("127.0.0.1", 0), block=False, ssl_context=tls, evt_handlers=handlers)
        address = Node("PACS", "127.0.0.1", server.server_address[1])
        destination = DimseDestination(address, ae_title="PECTL", tls=hospitals["hospital"])
        if name == "hospital":
            assert deliver(destination, (tmp_path / "out").iterdir()) == 1
        else:
            with pytest.raises(PacsError, match=r"to be let in as PECTL, found no answer, or an abort"):
                deliver(destination, (tmp_path / "out").iterdir())
        server.shutdown()
    assert len(held) == 1


@pytest.mark.pacs
def test_dcmtk_as_another_program(hospitals, port):
    good, other = hospitals["hospital"], hospitals["stranger"]

    def echo(files: TlsFiles) -> str:
        more = ("--enable-tls", files.key, files.certificate, "--add-cert-file", good.authority)
        return debian("echoscu", *more, "-aec", "PECTL", "127.0.0.1", port, check=False)

    assert echo(good) == ""
    assert "F:" in echo(other)


def test_files_that_are_no_certificates(tmp_path):
    text = tmp_path / "x.pem"
    text.write_text("no certificate")
    for files in (TlsFiles(text, text, text), TlsFiles(tmp_path / "no", text, text)):
        with pytest.raises(PacsError, match=r"expected a certificate, its key without a password, .* check --tls-cert"):
            files.server()
        with pytest.raises(PacsError, match=r"as PEM files, found "):
            files.client()
