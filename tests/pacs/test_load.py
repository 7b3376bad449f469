"""How fast objects are taken in, beside dcmtk's storescp, and whether memory grows. Run by `make test-pacs`."""

import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pydicom
import pytest

from benchmarks.explaining import write_untrained_runs
from pectl.steps.bundle import make_bundle
from tests.pacs.conftest import Node, debian, free_port, new_uid, until

pytestmark = pytest.mark.pacs
N_SLICES, N_STUDIES = 300, 10


@pytest.fixture(scope="module")
def large(tmp_path_factory, write_study) -> list[Path]:
    """300 slices of 512 x 512 pixels of noise: what can't be compressed on its way."""
    folder = tmp_path_factory.mktemp("large")
    files = write_study(folder, new_uid(), n_slices=N_SLICES, step_mm=1.0)
    noise = np.random.default_rng(0).integers(0, 4096, (512, 512)).astype(np.uint16).tobytes()
    for path in files:
        dataset = pydicom.dcmread(path)
        dataset.Rows = dataset.Columns = 512
        dataset.PixelData = noise
        dataset.save_as(path)
    return files


def rate(port: int, files: list[Path]) -> float:
    """Return the objects a second that dcmsend gets rid of."""
    begun = time.perf_counter()
    debian("dcmsend", "-aec", "PECTL", "127.0.0.1", port, *files)
    return len(files) / (time.perf_counter() - begun)


def storescp_rate(folder: Path, files: list[Path], **environment: str) -> float:
    port = free_port()
    folder.mkdir()
    command = ["/usr/bin/storescp", "-od", str(folder), "-pdu", "131072", str(port)]
    with subprocess.Popen(command, env=os.environ | environment) as server:
        until(lambda: "Error" not in debian("echoscu", "127.0.0.1", port, check=False), 20)
        try:
            return rate(port, files)
        finally:
            server.terminate()
            shutil.rmtree(folder)


def memory_mib(pid: int) -> float:
    lines = Path("/proc", str(pid), "status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def test_the_rate_of_receiving_beside_that_of_storescp(node, large, tmp_path, record_property):
    one = node("NOBODY@127.0.0.1:9", "--quiet-seconds", "600")
    ours, theirs = [], []
    for turn in range(3):  # in turns, as the machine may have other things to do
        theirs.append(storescp_rate(tmp_path / f"scp{turn}", large))
        ours.append(rate(one.port, large))
    at_once = storescp_rate(tmp_path / "scp", large, TCP_NODELAY="1")
    record_property("objects a second", {"listen": ours, "storescp": theirs, "storescp with TCP_NODELAY": at_once})
    assert np.median(ours) >= 0.7 * np.median(theirs)


@pytest.fixture(scope="module")
def slow_bundle(tmp_path_factory) -> Path:
    """A bundle of the size of Ma et al. 2022, with random weights: a study takes it a minute or more."""
    root = tmp_path_factory.mktemp("slow")
    write_untrained_runs(root, stride=5)
    make_bundle([(root / "stage1", root / "stage2")], root / "slow.pectl")
    return root / "slow.pectl"


def as_another_study(files: list[Path], folder: Path) -> list[Path]:
    folder.mkdir()
    study = new_uid()
    for number, path in enumerate(files):
        dataset = pydicom.dcmread(path)
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, f"{study}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
        dataset.save_as(folder / path.name)
    return sorted(folder.iterdir())


def test_ten_studies_of_300_slices_are_received_while_one_is_predicted(
    slow_bundle, large, write_study, tmp_path, record_property
):
    many = [as_another_study(large, tmp_path / f"study{k}") for k in range(N_STUDIES)]
    first = new_uid()
    files = write_study(tmp_path / "first", first, n_slices=N_SLICES, step_mm=1.0)
    one = Node(slow_bundle, tmp_path / "node", "NOBODY@127.0.0.1:9", port=free_port()).start()
    try:
        debian("dcmsend", "-aec", "PECTL", "127.0.0.1", one.port, *files)
        one.wait_for("complete", first)
        begun = time.perf_counter()
        with ThreadPoolExecutor(1) as sender:
            done = [sender.submit(rate, one.port, study) for study in many]
            until(lambda: first not in one.studies("complete"), 1200, "the prediction ends")
            predicted = time.perf_counter() - begun
            received = sum(sent.done() for sent in done)
        record_property("received during a prediction", {"studies": received, "seconds of the prediction": predicted})
        record_property("objects a second meanwhile", [sent.result() for sent in done])
        assert first in one.studies("predicted")
        assert received == N_STUDIES
    finally:
        one.end(signal.SIGKILL)


def test_memory_stays_over_50_studies(node, write_study, tmp_path, record_property):
    one = node("NOBODY@127.0.0.1:9", "--give-up", "0")
    small = [write_study(tmp_path / str(k), new_uid()) for k in range(50)]
    memory = []
    for files in small:
        debian("dcmsend", "-aec", "PECTL", "127.0.0.1", one.port, *files)
        memory.append(memory_mib(one.pid))
    until(lambda: len(one.studies("failed")) == 50, 500)
    memory.append(memory_mib(one.pid))
    record_property("MiB after 10, 50 and all", [memory[9], memory[49], memory[-1]])
    assert memory[-1] < memory[9] + 20
