"""Sources: what a DICOMDIR lists, and no way out of its folder."""

from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset

from pectl.core.dicom.sources import find_entries, listed_files
from pectl.core.intake.index import index_files
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError

pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR CS")  # pydicom, while writing
SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files" / "dicomdirtests"


def write_dicomdir(path, *file_ids):
    records = []
    for parts in file_ids:
        record = Dataset()
        record.DirectoryRecordType = "IMAGE"
        record.ReferencedFileID = list(parts)
        records.append(record)
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = pydicom.uid.ExplicitVRLittleEndian, "1.2.840.10008.1.3.10"
    meta.MediaStorageSOPInstanceUID = "1.2"
    dataset = FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.DirectoryRecordSequence = records
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_a_medium_is_read_by_its_dicomdir(tmp_path, write_series):
    uids = write_series(tmp_path / "medium" / "IMAGES", n_slices=4, size=(16, 16))
    names = sorted(path.name for path in (tmp_path / "medium" / "IMAGES").iterdir())
    write_dicomdir(tmp_path / "medium" / "DICOMDIR", *(("IMAGES", name) for name in names[:3]))
    cohort = index_files(Given([tmp_path / "medium" / "DICOMDIR"]), folder=tmp_path / "index", known=lambda uid: False)
    found = {header.sop_uid for header in cohort.task("1.2.3").headers}
    assert len(found) == 3
    assert found < set(uids)
    whole = index_files(Given([tmp_path / "medium"]), folder=tmp_path / "index", known=lambda uid: False)
    assert len(whole.task("1.2.3").headers) == 4
    assert whole.n_other == 1


def test_the_dicomdir_that_pydicom_ships():
    files = list(listed_files(SHIPPED / "DICOMDIR"))
    assert len(files) == 31
    assert all(path.is_file() for path in files)


def test_a_way_out_is_not_followed(tmp_path):
    hostile = [("..", "secret"), ("a", "..", "..", "secret"), ("/etc/passwd",), ("a/../../secret",), (".", "x")]
    path = write_dicomdir(tmp_path / "DICOMDIR", *hostile, ("IMAGES", "A1"))
    assert list(listed_files(path)) == [tmp_path / "IMAGES" / "A1"]


def test_files_that_are_listed_and_not_there_are_named(tmp_path, write_series):
    write_series(tmp_path / "A", n_slices=2, size=(16, 16))
    path = write_dicomdir(tmp_path / "DICOMDIR", ("A", "0000.dcm"), ("A", "0001.dcm"), ("A", "GONE"))
    cohort = index_files(Given([path]), folder=tmp_path / "index", known=lambda uid: False)
    assert [(fault.path.name, fault.code) for fault in cohort.faults] == [("GONE", "unreadable_file")]
    assert [note.detail for note in cohort.task("1.2.3").notes] == ["1 file (unreadable_file)"]


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"rubbish", "no file listed"), (bytes(128) + b"DICM" + b"\x02\0\0\0UL\x04\0", "no file listed|while reading it")],
)
def test_a_dicomdir_that_lists_nothing(tmp_path, content, found):
    (tmp_path / "DICOMDIR").write_bytes(content)
    with pytest.raises(InputMissingError, match=f"a DICOMDIR that lists files, found .*{found}; give the folder"):
        list(find_entries([tmp_path / "DICOMDIR"]))


def test_a_dicomdir_of_ways_out_alone(tmp_path):
    path = write_dicomdir(tmp_path / "DICOMDIR", ("..", "secret"))
    with pytest.raises(InputMissingError, match="found no file listed"):
        list(find_entries([path]))
