"""Sending before a small archive, by DIMSE and by DICOMweb."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

from pectl.errors import PacsError
from pectl.pacs.address import Node, Web
from pectl.pacs.send import deliver
from pectl.pacs.send_dimse import DimseDestination
from pectl.pacs.send_web import WebDestination


class Archive:
    """Keeps SOPInstanceUIDs; `forgets` answers Success and keeps nothing, `status` answers that."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self.forgets, self.status = False, 0

    def take(self, uid: str) -> int:
        if not self.forgets and self.status == 0:
            self.held.append(uid)
        return self.status


@pytest.fixture
def archive():
    return Archive()


@pytest.fixture
def dimse(archive):
    entity = AE("PACS")
    entity.require_calling_aet = ["PECTL"]
    entity.add_supported_context(CTImageStorage)
    entity.add_supported_context(Find)

    def find(event):
        uid = event.identifier.SOPInstanceUID
        if uid in archive.held:
            match = Dataset()
            match.SOPInstanceUID, match.QueryRetrieveLevel = uid, "IMAGE"
            yield 0xFF00, match

    handlers = [
        (evt.EVT_C_STORE, lambda event: archive.take(event.request.AffectedSOPInstanceUID)),
        (evt.EVT_C_FIND, find),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield DimseDestination(Node("PACS", "127.0.0.1", server.server_address[1]), ae_title="PECTL")
    entity.shutdown()


@pytest.fixture
def web(archive):
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_GET(self):
            assert re.match(r"/dicom-web/studies/1\.2\.3/series/1\.2\.3\.1/instances\?SOPInstanceUID=", self.path)
            uid = self.path.rpartition("=")[2]
            self.answer(200, [{"00080018": {"vr": "UI", "Value": [uid]}}] if uid in archive.held else [])

        def do_POST(self):
            content = self.rfile.read(int(self.headers["Content-Length"]))
            start = content.index(b"\r\n\r\n") + 4
            boundary = self.headers["Content-Type"].rpartition("=")[2].encode()
            part = content[start : content.index(b"\r\n--" + boundary + b"--")]
            uid = str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(part)).SOPInstanceUID)
            failed = archive.take(uid)
            reason = {"00081198": {"vr": "SQ", "Value": [{"00081197": {"vr": "US", "Value": [failed]}}]}}
            self.answer(202 if failed else 200, reason if failed else {})

        def answer(self, code, content):
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield WebDestination(Web(f"http://127.0.0.1:{server.server_port}/dicom-web"))
    server.shutdown()
    server.server_close()


@pytest.fixture
def objects(write_series, tmp_path):
    write_series(tmp_path / "out", study="1.2.3", series="1", n_slices=3, size=(16, 16))
    return sorted((tmp_path / "out").iterdir())


@pytest.fixture(params=["dimse", "web"])
def destination(request):
    return request.getfixturevalue(request.param)


def test_what_is_there_is_not_sent_again(destination, archive, objects):
    assert deliver(destination, objects[:1]) == 1
    assert deliver(destination, objects) == 2
    assert deliver(destination, objects) == 0
    assert sorted(archive.held) == [f"1.2.3.1.{k}" for k in range(3)]


def test_success_that_is_none(destination, archive, objects):
    archive.forgets = True
    with pytest.raises(PacsError, match=r"expected to find the 3 objects that it said it stored, found 0; look into"):
        deliver(destination, objects)


def test_a_failure_is_said_with_its_status(destination, archive, objects):
    archive.status = 0xA700
    with pytest.raises(
        PacsError, match=r"expected an object to be stored, found (status 0xA700|failure \[42752\]); check"
    ):
        deliver(destination, objects)


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pynetdicom leaves a socket to the collector
def test_nobody_there(objects):
    node = DimseDestination(Node("PACS", "127.0.0.1", 9), ae_title="PECTL")
    with pytest.raises(
        PacsError, match=r"PACS@127.0.0.1:9: expected to be let in as PECTL, found no answer, or an abort"
    ):
        deliver(node, objects)
    with pytest.raises(
        PacsError, match=r"http://127.0.0.1:9/x: expected to reach the server, found ConnectionError; check"
    ):
        deliver(WebDestination(Web("http://127.0.0.1:9/x")), objects)


def test_a_node_that_does_not_know_us(dimse, objects):
    stranger = DimseDestination(dimse._node, ae_title="OTHER")
    with pytest.raises(PacsError, match=r"let in as OTHER, found a refusal: calling ae title not recognised; check"):
        deliver(stranger, objects)
