"""What a node must survive. Run by `make test-pacs`."""

import gc
import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import CTImageStorage
from pynetdicom.sop_class import StudyRootQueryRetrieveInformationModelFind as Find

from tests.pacs.conftest import debian, free_port, new_uid, until

pytestmark = [
    pytest.mark.pacs,  # pynetdicom leaves the socket to the collector where the node is away
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
KILLS = 20


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Collect a test's sockets within it, where its filters hold: what is left at the end fails the whole session."""
    yield
    gc.collect()


def send(files, port, *, answers: dict[str, int] | None = None, pause: float = 0.0) -> dict[str, int]:
    """Send files over one association, and note the status of each by SOPInstanceUID; stops where the node is gone."""
    answers = {} if answers is None else answers
    entity = AE("SENDER")
    entity.add_requested_context(CTImageStorage)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = 10
    association = entity.associate("127.0.0.1", port, ae_title="PECTL")
    try:
        for path in files if association.is_established else ():
            dataset = pydicom.dcmread(path)
            try:
                answers[str(dataset.SOPInstanceUID)] = association.send_c_store(dataset).get("Status", -1)
            except RuntimeError:
                break
            time.sleep(pause)
    finally:
        if association.is_established:
            association.release()
    return answers


def held(spool: Path) -> set[str]:
    return {path.stem for path in spool.rglob("*.dcm")}


class Stream:
    """A thread that sends files until all are answered Success, again and again, as a PACS does."""

    def __init__(self, node, files: dict[str, list[Path]]) -> None:
        self._node, self._files = node, files
        self.images = {path: str(pydicom.dcmread(path).SOPInstanceUID) for paths in files.values() for path in paths}
        self.answers: dict[str, int] = {}
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def answered(self) -> set[str]:
        return {image for image, status in dict(self.answers).items() if status == 0}

    def join(self) -> None:
        self._thread.join(300)
        assert not self._thread.is_alive()

    def _run(self) -> None:
        while self.answered() != set(self.images.values()):
            for paths in self._files.values():
                left = [path for path in paths if self.answers.get(self.images[path]) != 0]
                send(left, self._node.port, answers=self.answers, pause=0.1)
                time.sleep(0.3)


def unreplaced(orthanc, study: str) -> list[str]:
    """Return the reports of a study that no other one names as its predecessor."""
    reports = [pydicom.dcmread(BytesIO(orthanc.file(image))) for image in orthanc.instances(study, "SR")]
    older = {
        named.ReferencedSOPInstanceUID
        for report in reports
        for former in report.get("PredecessorDocumentsSequence", [])
        for series in former.ReferencedSeriesSequence
        for named in series.ReferencedSOPSequence
    }
    return [str(report.SOPInstanceUID) for report in reports if report.SOPInstanceUID not in older]


def test_killed_at_random_moments_of_a_stream(node, orthanc, write_study, tmp_path, record_property):
    rng = random.Random(7)
    files = {study: write_study(tmp_path / study, study) for study in (new_uid() for _ in range(6))}
    one = node(orthanc.address, "--quiet-seconds", "3")
    stream = Stream(one, files)
    begun, open_at_a_kill = time.monotonic(), Counter[str]()
    for number in range(KILLS):
        time.sleep(rng.uniform(*((0.1, 6) if number % 2 else (6, 24))))  # before the model is loaded, and after
        one.end(signal.SIGKILL)
        assert stream.answered() <= held(one.out / "spool")
        open_at_a_kill.update(state for state in ("received", "complete", "predicted", "sent") if one.studies(state))
        one.start()
    record_property("seconds of kills", time.monotonic() - begun)
    stream.join()
    all_images = set(stream.images.values())
    one.wait_for("sent", *files)
    until(lambda: not (one.studies("received") or one.studies("complete") or one.studies("predicted")), 300)
    assert held(one.out / "spool") == all_images
    for study in files:  # a part that was answered while the rest hadn't come is a version that has a successor
        report = pydicom.dcmread(one.out / "dicom" / study / "sr.dcm")
        assert unreplaced(orthanc, study) == [str(report.SOPInstanceUID)]
    versions = sum(len(orthanc.instances(study, "SR")) for study in files)
    record_property("kills with studies in a state, studies, reports", [open_at_a_kill, len(files), versions])


def test_a_receiver_that_is_away_and_one_that_refuses(node, orthanc, write_study, tmp_path):
    orthanc.stop()
    study = new_uid()
    one = node(orthanc.address)
    send(write_study(tmp_path / "in", study), one.port)
    one.wait_for("predicted", study)
    until(lambda: "not sent" in one.log.read_text(), what="an attempt")
    orthanc.start()
    one.wait_for("sent", study)
    assert len(orthanc.instances(study, "SR")) == 1


class Troubled:
    """A receiver that answers failures first, then lets each object wait, and says what it holds."""

    def __init__(self, failures: list[int], seconds: float) -> None:
        self.failures, self.seconds = failures, seconds
        self.held: list[str] = []
        self.refused: list[int] = []
        entity = AE("TROUBLED")
        entity.supported_contexts = AllStoragePresentationContexts
        entity.add_supported_context(Find)
        handlers = [(evt.EVT_C_STORE, self._store), (evt.EVT_C_FIND, self._find)]
        self.port = free_port()
        self.server = entity.start_server(("127.0.0.1", self.port), block=False, evt_handlers=handlers)

    def _store(self, event) -> int:
        if self.failures:
            self.refused.append(self.failures.pop(0))
            return self.refused[-1]
        time.sleep(self.seconds)
        self.held.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    def _find(self, event):
        uid = event.identifier.SOPInstanceUID
        if uid in self.held:
            match = Dataset()
            match.SOPInstanceUID, match.QueryRetrieveLevel = uid, "IMAGE"
            yield 0xFF00, match


def test_a_receiver_that_fails_for_a_while_and_then_is_slow(node, write_study, tmp_path):
    receiver = Troubled([0xA700, 0xA700, 0xC000], seconds=4.0)
    try:
        study = new_uid()
        one = node(f"TROUBLED@127.0.0.1:{receiver.port}")
        send(write_study(tmp_path / "in", study), one.port)
        one.wait_for("sent", study)
        assert receiver.refused == [0xA700, 0xA700, 0xC000]
        answer = sorted(str(pydicom.dcmread(path).SOPInstanceUID) for path in (one.out / "dicom" / study).glob("*.dcm"))
        assert sorted(receiver.held) == answer  # each of them once
        log = one.log.read_text()
        assert [code for code in ("0xA700", "0xC000") if code in log] == ["0xA700", "0xC000"]
    finally:
        receiver.server.shutdown()


def test_an_answer_that_nobody_takes_is_parked_with_the_reason(node, write_study, tmp_path):
    study = new_uid()
    one = node("NOBODY@127.0.0.1:9", "--give-up", "0")
    send(write_study(tmp_path / "in", study), one.port)
    one.wait_for("failed", study)
    reason = (one.out / "spool" / "failed" / f"{study}.txt").read_text()
    assert "NOBODY@127.0.0.1:9: expected to be let in as PECTL, found no answer" in reason


def test_disk_full(node, orthanc, write_study, tmp_path):
    disk = tmp_path / "small"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], check=True)
    try:
        study = new_uid()
        files = write_study(tmp_path / "in", study, size=(256, 256), pixel_spacing_mm=(1.5, 1.5))
        one = node(orthanc.address, "--keep-free", "0", name="small/node")
        answers = send(files, one.port)
        statuses = Counter(answers.values())
        assert statuses[0xA700] > 0
        assert set(statuses) == {0, 0xA700}
        there = list((one.out / "spool").rglob("*.dcm"))
        assert len(there) == statuses[0]
        assert all(pydicom.dcmread(path).PixelData for path in there)
        assert list((one.out / "spool" / "arriving").iterdir()) == []
        assert one.end() == 75
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_two_senders_interleaved_studies_twice_late_and_corrupt(node, orthanc, write_study, tmp_path):
    first, second = new_uid(), new_uid()
    one = node(orthanc.address)
    files = {study: write_study(tmp_path / study, study) for study in (first, second)}
    late = {study: paths[-4:] for study, paths in files.items()}
    soon = {study: paths[:-4] for study, paths in files.items()}
    mixed = [path for pair in zip(soon[first], soon[second], strict=True) for path in pair]
    senders = [threading.Thread(target=send, args=(mixed[k::2], one.port)) for k in range(2)]
    [sender.start() for sender in senders]
    [sender.join() for sender in senders]
    one.wait_for("sent", first, second)
    old = {study: orthanc.instances(study, "SR") for study in files}
    assert [len(reports) for reports in old.values()] == [1, 1]
    send(soon[first], one.port)  # the same study twice
    send(late[second], one.port)  # slices after the answer
    until(lambda: len(orthanc.instances(second, "SR")) == 2, what="a second version")
    one.wait_for("sent", first, second)
    assert orthanc.instances(first, "SR") == old[first]
    report = pydicom.dcmread(one.out / "dicom" / second / "sr.dcm")
    named = report.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert [named.ReferencedSOPInstanceUID] == old[second]
    third = new_uid()
    broken = write_study(tmp_path / third, third)
    dataset = pydicom.dcmread(broken[5])
    dataset.PixelData = dataset.PixelData[:1000]
    dataset.save_as(broken[5])
    send(broken, one.port)
    one.wait_for("refused", third)
    said = (one.out / "worklist.csv").read_text  # is written a moment after the study has moved
    until(lambda: "truncated_pixel_data" in said(), what="the reason on the worklist")


def test_ten_associations_and_a_study_that_never_completes(node, orthanc, write_study, tmp_path):
    studies = [new_uid() for _ in range(10)]
    files = {study: write_study(tmp_path / study, study) for study in studies}
    one = node(orthanc.address, "--at-most", "3")
    answers: dict[str, int] = {}
    senders = [
        threading.Thread(target=send, args=(paths, one.port), kwargs={"answers": answers}) for paths in files.values()
    ]
    [sender.start() for sender in senders]
    [sender.join() for sender in senders]
    assert Counter(answers.values()) == {0: 340}
    one.wait_for("sent", *studies)
    slow = new_uid()
    paths = write_study(tmp_path / slow, slow)
    begun = time.monotonic()
    while not (one.out / "dicom" / slow).exists():
        assert time.monotonic() - begun < 60
        send(paths[:30], one.port)  # never quiet for a second
        time.sleep(0.4)
    assert one.end() == 75


def test_stopped_with_a_study_in_hand_it_is_answered_by_the_next_start(node, orthanc, write_study, tmp_path):
    study = new_uid()
    one = node(orthanc.address)
    send(write_study(tmp_path / "in", study), one.port)
    one.wait_for("complete", study)
    begun = time.monotonic()
    assert one.end() == 75
    assert time.monotonic() - begun < 15
    assert json.loads((one.out / "status.json").read_text())["state"] == "interrupted"
    one.start()
    one.wait_for("sent", study)
    assert len(orthanc.instances(study, "SR")) == 1
    assert "Error" not in debian("echoscu", "-aec", "PECTL", "127.0.0.1", one.port)
