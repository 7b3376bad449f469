"""What a node must survive. Run by `make test-pacs`; each test prints its figures."""

import json
import random
import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage

from tests.pacs.conftest import debian, new_uid, until

pytestmark = pytest.mark.pacs
KILLS = 20


def send(files, port, *, answers: dict[str, int] | None = None) -> dict[str, int]:
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
    finally:
        if association.is_established:
            association.release()
    return answers


def held(spool: Path) -> set[str]:
    return {path.stem for path in spool.rglob("*.dcm")}


def test_killed_at_random_moments_of_a_stream(node, orthanc, write_study, tmp_path, capsys):
    rng = random.Random(7)
    studies = [new_uid() for _ in range(6)]
    files = {study: write_study(tmp_path / study, study) for study in studies}
    one = node(orthanc.address)
    answers: dict[str, int] = {}
    done = threading.Event()

    def stream() -> None:
        """Send the studies again and again, each time what wasn't answered Success, as a PACS does."""
        while not done.is_set():
            for study in studies:
                left = [path for path in files[study] if answers.get(sop[path]) != 0]
                send(left, one.port, answers=answers)
                time.sleep(0.3)

    sop = {path: str(pydicom.dcmread(path).SOPInstanceUID) for paths in files.values() for path in paths}
    sender = threading.Thread(target=stream)
    sender.start()
    lost = Counter()
    for _ in range(KILLS):
        time.sleep(rng.uniform(0.1, 6))
        one.end(signal.SIGKILL)
        answered = {image for image, status in answers.items() if status == 0}
        lost["objects"] += len(answered - held(one.out / "spool"))
        one.start()
    until(lambda: set(answers.values()) == {0} and len(answers) == len(sop), 200, "all is answered")
    done.set()
    sender.join()
    one.wait_for("sent", *studies, seconds=300)
    reports = {study: len(orthanc.instances(study, "SR")) for study in studies}
    with capsys.disabled():
        print(f"\n{KILLS} kills: {len(sop)} objects, {lost['objects']} lost, reports {sorted(reports.values())}")
    assert lost["objects"] == 0
    assert held(one.out / "spool") == set(sop.values())
    for study in studies:  # an answer to a part of a study, cut by a kill, is a version with a successor
        chain = [pydicom.dcmread(path) for path in (one.out / "dicom" / study).glob("sr.dcm")]
        assert len(chain) == 1
        assert str(chain[0].SOPInstanceUID) in orthanc.instances(study, "SR")


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
    content = broken[5].read_bytes()
    dataset = pydicom.dcmread(broken[5])
    dataset.PixelData = dataset.PixelData[:1000]
    dataset.save_as(broken[5])
    assert len(broken[5].read_bytes()) < len(content)
    send(broken, one.port)
    one.wait_for("refused", third)
    assert "truncated_pixel_data" in (one.out / "worklist.csv").read_text()


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
    one.wait_for("sent", *studies, seconds=300)
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
