"""A small model as a bundle, studies that a PACS takes, a node, an Orthanc."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
import requests
from pydicom.uid import generate_uid

from pectl.steps.bundle import make_bundle
from tests.tiny_instrument import tiny_member, write_runs

WITH_QUIET_SECONDS = 1.0


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    """A bundle with random weights."""
    root = tmp_path_factory.mktemp("bundle")
    stage1, stage2 = write_runs(tiny_member(), root, trained={"9.9": "train"})
    make_bundle([(stage1, stage2)], root / "tiny.pectl")
    return root / "tiny.pectl"


@pytest.fixture(scope="session")
def write_study(write_series) -> Callable[..., list[Path]]:
    """Write a study that the small model reads and a PACS takes; its files, by slice."""

    def write(folder: Path, study: str, *, patient: str = "P1", n_slices: int = 34, **more) -> list[Path]:
        def complete(dataset, place):
            dataset.PatientName, dataset.PatientID = "Doe^Jane", patient
            dataset.PatientBirthDate = dataset.PatientSex = dataset.ReferringPhysicianName = ""
            dataset.StudyDate, dataset.StudyTime, dataset.StudyID, dataset.AccessionNumber = "20200304", "05", "S", "A"
            dataset.SeriesNumber, dataset.InstanceNumber, dataset.FrameOfReferenceUID = 1, place + 1, f"{study}.9"

        small = {"size": (64, 64), "pixel_spacing_mm": (6.0, 6.0)} | more
        write_series(folder, study=study, n_slices=n_slices, edit=complete, **small)
        return sorted(folder.glob("*.dcm"), key=lambda path: int(pydicom.dcmread(path).InstanceNumber))

    return write


def new_uid() -> str:
    return str(generate_uid())[:50]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until(true: Callable[[], object], seconds: float = 300.0, what: str = "") -> None:
    """Wait until something is so; the seconds are a bound, as the machine may be slow."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what or "waited in vain"
        time.sleep(0.05)


class Node:
    """`pectl listen` in a process of its own."""

    def __init__(self, bundle: Path, out: Path, send: str, *more: object, port: int) -> None:
        self.out, self.port = out, port
        self._command = [sys.executable, "-m", "pectl", "listen", "--model", bundle, "--out", out, "--send", send]
        self._command += ["--port", self.port, "--quiet-seconds", WITH_QUIET_SECONDS, "--device", "cpu", *more]
        self._process: subprocess.Popen[bytes] | None = None
        self.log = out.with_suffix(".log")

    def start(self) -> "Node":
        with self.log.open("ab") as log:
            command = list(map(str, self._command))
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"OMP_NUM_THREADS": "1"})
        until(self._listens, what="the node listens")
        return self

    def _listens(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, and return the exit code."""
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(number)
        return self._process.wait(120)

    def studies(self, state: str) -> list[str]:
        return sorted(path.name for path in (self.out / "spool" / state).iterdir() if path.is_dir())

    def wait_for(self, state: str, *studies: str, seconds: float = 600) -> None:
        until(lambda: set(studies) <= set(self.studies(state)), seconds, f"{studies} in {state}")


@pytest.fixture
def node(bundle, tmp_path) -> Iterator[Callable[..., Node]]:
    """Start nodes; they are ended with the test."""
    started: list[Node] = []

    def start(send: str, *more: object, name: str = "node", port: int | None = None) -> Node:
        started.append(Node(bundle, tmp_path / name, send, *more, port=port or free_port()).start())
        return started[-1]

    yield start
    for one in started:
        one.end(signal.SIGKILL)


class Orthanc:
    """Debian's Orthanc with its dicomweb and gdcm plug-ins, on the loopback, all files in one folder."""

    plugins = ("libOrthancDicomWeb.so", "libOrthancGdcm.so")

    def __init__(self, folder: Path, node_port: int, **more: object) -> None:
        self.folder, self.node_port = folder, node_port
        self.http, self.dicom = free_port(), free_port()
        self.url, self.web = f"http://127.0.0.1:{self.http}", f"http://127.0.0.1:{self.http}/dicom-web"
        self.address = f"ORTHANC@127.0.0.1:{self.dicom}"
        folder.mkdir(exist_ok=True)
        config = {
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http,
            "HttpBindAddresses": ["127.0.0.1"],
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomModalities": {"pectl": ["PECTL", "127.0.0.1", node_port]},
            "Plugins": [f"/usr/share/orthanc/plugins/{name}" for name in self.plugins],
            "StableAge": 3,
        }
        (folder / "orthanc.json").write_text(json.dumps(config | more))

    def start(self) -> "Orthanc":
        with (self.folder / "log").open("ab") as log:
            command = ["/usr/sbin/Orthanc", str(self.folder / "orthanc.json")]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        until(self._answers, 60, "Orthanc answers")
        return self

    def _answers(self) -> bool:
        try:
            return requests.get(f"{self.url}/system", timeout=5).ok
        except requests.ConnectionError:
            return False

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)

    def get(self, path: str, **more: object) -> list:
        answer = requests.get(f"{self.url}/{path}", timeout=60, **more)
        return [] if answer.status_code == 204 else answer.json()

    def take(self, paths: list[Path]) -> None:
        for path in paths:
            requests.post(f"{self.url}/instances", data=path.read_bytes(), timeout=60).raise_for_status()

    def file(self, image: str) -> bytes:
        """Return an object as a file."""
        [found] = requests.post(f"{self.url}/tools/lookup", data=image, timeout=60).json()
        return requests.get(f"{self.url}/instances/{found['ID']}/file", timeout=60).content

    def forward(self, study: str) -> None:
        """Send all of a study to the node, by C-STORE."""
        [found] = requests.post(f"{self.url}/tools/lookup", data=study, timeout=60).json()
        requests.post(f"{self.url}/modalities/pectl/store", data=found["ID"], timeout=120).raise_for_status()

    def instances(self, study: str, modality: str) -> list[str]:
        """Return the SOPInstanceUIDs of a study's objects of a modality, by QIDO."""
        found = self.get(f"dicom-web/studies/{study}/instances", params={"Modality": modality})
        return sorted(one["00080018"]["Value"][0] for one in found)


@contextmanager
def running(orthanc: Orthanc) -> Iterator[Orthanc]:
    orthanc.start()
    try:
        yield orthanc
    finally:
        orthanc.stop()


@pytest.fixture
def orthanc(tmp_path) -> Iterator[Orthanc]:
    with running(Orthanc(tmp_path / "orthanc", free_port())) as one:
        yield one


def debian(name: str, *arguments: object, check: bool = True) -> str:
    """Run a Debian program, which lies in /usr/bin."""
    path = shutil.which(name, path="/usr/bin")
    assert path is not None, f"no {name}: run make test-pacs, which installs it"
    done = subprocess.run([path, *map(str, arguments)], capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
