"""The receiver before a real sender: pynetdicom as SCU, on the loopback, in this process."""

import shutil
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import (
    MPEG2MPML,
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
)
from pynetdicom import AE
from pynetdicom.sop_class import ParametricMapStorage, Verification

from pectl.dicom_output.made_by import is_made_here
from pectl.errors import PacsError
from pectl.pacs.address import Peer
from pectl.pacs.metrics import Metrics
from pectl.pacs.receive import Door, Receiver, read_head
from pectl.pacs.spool import Spool

STUDY = "1.2.3"


def own(head) -> bool:
    return is_made_here(manufacturer=head.manufacturer, sop_instance_uid=head.image)


@pytest.fixture
def metrics():
    return Metrics()


@pytest.fixture
def receive(tmp_path, metrics):
    """Start receivers into one spool; they are ended with the test."""
    spool, open_ones = Spool(tmp_path / "spool"), []
    spool.open()

    def start(**more):
        one = Receiver(Door(ae_title="PECTL", port=0, is_own=own, **more), spool, metrics)
        open_ones.append(one)
        return one.__enter__()

    yield start
    for one in open_ones:
        one.__exit__()


@pytest.fixture
def slices(write_series, tmp_path) -> list[Path]:
    write_series(tmp_path / "in", study=STUDY, n_slices=3, size=(64, 64))
    return sorted((tmp_path / "in").iterdir())


def connect(port, *, called="PECTL", calling="CT1", classes=(CTImageStorage,), syntaxes=(ExplicitVRLittleEndian,)):
    entity = AE(calling)
    for sop_class in classes:
        entity.add_requested_context(sop_class, list(syntaxes))
    return entity.associate("127.0.0.1", port, ae_title=called)


def store(port, *datasets, **more) -> list[int]:
    association = connect(port, **more)
    assert association.is_established
    try:
        return [association.send_c_store(dataset).Status for dataset in datasets]
    finally:
        association.release()


def files(tmp_path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "spool" / "received").rglob("*.dcm"))


def test_what_is_answered_success_is_there_byte_by_byte(receive, slices, tmp_path, metrics):
    datasets = [pydicom.dcmread(path) for path in slices]
    assert store(receive().port, *datasets) == [0, 0, 0]
    for path, dataset in zip(slices, datasets, strict=True):
        kept = tmp_path / "spool" / "received" / STUDY / f"{dataset.SOPInstanceUID}.dcm"
        read = pydicom.dcmread(kept)
        assert read == pydicom.dcmread(path)
        assert read.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
        assert read.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
    assert metrics.to_json({})["counts"]["objects_received"] == 3


@pytest.mark.parametrize(
    "syntax",
    [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, JPEGLosslessSV1, JPEG2000Lossless, JPEGLSLossless],
)
def test_every_syntax_that_the_intake_reads(receive, slices, tmp_path, syntax):
    dataset = pydicom.dcmread(slices[0])
    if syntax == JPEGLosslessSV1:  # nobody here writes it: only that it is agreed on
        association = connect(receive().port, syntaxes=[syntax])
        assert association.accepted_contexts[0].transfer_syntax == [syntax]
        association.release()
        return
    if syntax in (JPEG2000Lossless, JPEGLSLossless):
        dataset.compress(syntax, generate_instance_uid=False)
    elif syntax == ImplicitVRLittleEndian:
        dataset.file_meta.TransferSyntaxUID = syntax
        dataset.save_as(slices[0], implicit_vr=True, little_endian=True)
        dataset = pydicom.dcmread(slices[0])
    dataset.file_meta.TransferSyntaxUID = syntax
    assert store(receive().port, dataset, syntaxes=[syntax]) == [0]
    kept = pydicom.dcmread(tmp_path / "spool" / "received" / STUDY / files(tmp_path)[0])
    assert kept.file_meta.TransferSyntaxUID == syntax
    assert (kept.pixel_array == pydicom.dcmread(slices[0]).pixel_array).all()


def test_echo_and_kinds_that_are_not_ct(receive):
    association = connect(receive().port, classes=(Verification, ParametricMapStorage))
    assert {one.abstract_syntax for one in association.accepted_contexts} == {Verification, ParametricMapStorage}
    assert association.send_c_echo().Status == 0
    association.release()
    video = connect(receive().port, syntaxes=[MPEG2MPML])
    assert not video.accepted_contexts


def test_strangers_and_wrong_names_are_refused(receive, metrics):
    port = receive(peers=[Peer("CT1", frozenset({"127.0.0.1"})), Peer("CT2", frozenset({"10.0.0.1"}))]).port
    good = connect(port)
    assert good.is_established
    good.release()
    for calling, called, reason in (
        ("CT9", "PECTL", "Calling AE title not recognised"),
        ("CT2", "PECTL", "Calling AE title not recognised"),  # another host's
        ("CT1", "OTHER", "Called AE title not recognised"),
    ):
        association = connect(port, calling=calling, called=called)
        assert association.is_rejected
        assert association.acceptor.primitive.reason_str == reason
    assert metrics.to_json({})["counts"]["associations_refused"] == 2


def test_a_full_disk_refuses_associations_and_objects(receive, slices, tmp_path, monkeypatch, metrics):
    port = receive(keep_free=1000).port
    association = connect(port)
    free = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free._replace(free=1000))
    assert association.send_c_store(pydicom.dcmread(slices[0])).Status == 0xA700
    association.release()
    refused = connect(port)
    assert refused.is_rejected
    assert refused.acceptor.primitive.reason_str == "Local limit exceeded"
    assert files(tmp_path) == []
    counts = metrics.to_json({})["counts"]
    assert (counts["objects_refused"], counts["associations_refused"]) == (1, 1)


def test_a_disk_that_fills_while_it_is_written(receive, slices, tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    port = receive().port
    monkeypatch.setattr("pectl.pacs.spool.os.fsync", full)
    assert store(port, pydicom.dcmread(slices[0])) == [0xA700]
    assert [path for path in (tmp_path / "spool").rglob("*") if path.is_file()] == []


def test_two_studies_in_one_association(receive, write_series, tmp_path):
    write_series(tmp_path / "a", study="1.1", n_slices=3, size=(16, 16))
    write_series(tmp_path / "b", study="1.2", n_slices=3, size=(16, 16))
    pairs = zip(*(sorted((tmp_path / name).iterdir()) for name in "ab"), strict=True)
    assert store(receive().port, *(pydicom.dcmread(path) for pair in pairs for path in pair)) == [0] * 6
    for study in ("1.1", "1.2"):
        assert len(list((tmp_path / "spool" / "received" / study).iterdir())) == 3


def test_own_results_are_taken_and_not_kept(receive, slices, tmp_path, metrics):
    dataset = pydicom.dcmread(slices[0])
    dataset.Manufacturer = "pectl"
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "2.25.123"
    other = pydicom.dcmread(slices[1])
    other.Manufacturer = "pectl"  # a phantom of somebody's, say: it has another UID
    assert store(receive().port, dataset, other) == [0, 0]
    assert files(tmp_path) == [f"{other.SOPInstanceUID}.dcm"]
    assert metrics.to_json({})["counts"]["own_results_ignored"] == 1


def test_an_object_of_no_study(receive, slices, tmp_path):
    dataset = pydicom.dcmread(slices[0])
    del dataset.StudyInstanceUID
    assert store(receive().port, dataset) == [0xC000]
    assert files(tmp_path) == []


@pytest.mark.filterwarnings("ignore:Expected implicit VR")
@pytest.mark.parametrize(
    "content", [b"", b"\0" * 3, b"no dataset at all, of any kind", b"\x08\x00\x16\x00UI\xff\xff1.2"]
)
def test_bytes_that_are_no_dataset(content):
    for syntax in (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        assert read_head(BytesIO(content), syntax, "1.2.3.4") is None


def test_a_port_that_is_taken(receive):
    port = receive().port
    door = Door(ae_title="PECTL", port=port, is_own=own)
    with pytest.raises(
        PacsError, match=rf"127.0.0.1:{port}: expected an address and a port to listen at, found Address"
    ):
        Receiver(door, Spool(Path()), Metrics()).__enter__()
