"""Archives: the same study as from a folder, and nothing that a hostile archive can do."""

import io
import tarfile
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from pectl.config import PreprocessConfig
from pectl.core.dicom import archives
from pectl.core.dicom.archives import is_archive, read_members, unpacked
from pectl.core.intake.examine import examine
from pectl.core.intake.index import index_files
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.volumes.stated import Given
from pectl.errors import StoreError, StudyRefusedError

CONFIG = PreprocessConfig(in_plane_px=32, slice_spacing_mm=6.0)


@pytest.fixture
def series(tmp_path, write_series):
    write_series(tmp_path / "series", n_slices=36, size=(64, 64), pixel_spacing_mm=(6, 6))
    return tmp_path / "series"


@pytest.fixture
def index(tmp_path):
    return lambda *sources: index_files(Given(sources), folder=tmp_path / "index", known=lambda uid: False)


def make_zip(path, folder, name="{}"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "hello")
        for file in sorted(folder.iterdir()):
            archive.write(file, name.format(file.name))
    return path


def make_tar(path, folder, mode, name="{}"):
    with tarfile.open(path, mode) as archive:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        for file in sorted(folder.iterdir()):
            archive.add(file, name.format(file.name))
    return path


MAKERS = {
    "zip": make_zip,
    "tar": lambda path, folder, **kw: make_tar(path, folder, "w", **kw),
    "tar.gz": lambda path, folder, **kw: make_tar(path, folder, "w:gz", **kw),
    "tar.bz2": lambda path, folder, **kw: make_tar(path, folder, "w:bz2", **kw),
    "tar.xz": lambda path, folder, **kw: make_tar(path, folder, "w:xz", **kw),
}


def examined(cohort):
    [uid] = cohort.todo
    return examine(uid, cohort.task(uid).headers, CONFIG, labels=StudyLabels())


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
@pytest.mark.parametrize("name", ["{}", "../../{}", "/etc/{}", "same name"])
def test_an_archive_is_as_good_as_a_folder(tmp_path, series, index, monkeypatch, make, name):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    archive = make(tmp_path / "export", series, name=name)  # known by its first bytes, not by its name
    expected = examined(index(series))
    before = sorted(tmp_path.rglob("*"))
    found = examined(index(archive))
    assert found.verdict == expected.verdict
    np.testing.assert_array_equal(found.usable.volume.hu, expected.usable.volume.hu)
    assert list(scratch.iterdir()) == []
    assert [path for path in sorted(tmp_path.rglob("*")) if "index" not in path.parts] == [
        path for path in before if "index" not in path.parts
    ]


def test_damaged_members_are_counted(tmp_path, series, index):
    damaged = series / "0003.dcm"
    damaged.write_bytes(damaged.read_bytes()[:141])
    cohort = index(make_zip(tmp_path / "a.zip", series))
    assert len(cohort.task("1.2.3").headers) == 35
    assert [(fault.path.name, fault.code) for fault in cohort.faults] == [("a.zip", "damaged_header")]


def encrypted(content):
    """Set the flag of encryption in every header of a zip."""
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        for start in (k for k in range(len(content)) if content.startswith(magic, k)):
            content = content[: start + at] + bytes([content[start + at] | 1]) + content[start + at + 1 :]
    return content


DAMAGES = {
    "truncated zip": (make_zip, lambda content: content[:-100]),
    "zip with a wrong byte": (make_zip, lambda content: content[:3000] + b"\0\0\0\0" + content[3004:]),
    "encrypted zip": (make_zip, encrypted),
    "truncated tar": (MAKERS["tar"], lambda content: content[: len(content) // 2]),
    "truncated tar.gz": (MAKERS["tar.gz"], lambda content: content[:-500]),
    "tar.gz with a wrong byte": (MAKERS["tar.gz"], lambda content: content[:3000] + b"\0\0\0\0" + content[3004:]),
    "truncated tar.bz2": (MAKERS["tar.bz2"], lambda content: content[:-200]),
    "truncated tar.xz": (MAKERS["tar.xz"], lambda content: content[:-200]),
}


@pytest.mark.parametrize(("make", "damage"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_archive_is_a_verdict_of_its_own(tmp_path, series, index, make, damage):
    archive = make(tmp_path / "a.tbz2", series)
    archive.write_bytes(damage(archive.read_bytes()))
    cohort = index(archive)
    outcome = examine("unnamed-0001", [], CONFIG, labels=StudyLabels(), known=cohort.task("unnamed-0001").notes)
    assert outcome.verdict.rows() == [("unnamed-0001", "", "damaged_archive", "error", "1 file")]
    with pytest.raises(StudyRefusedError, match=r"an archive \(\.tbz2\): expected a whole zip or tar of images"):
        list(read_members(archive))


def bomb_zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(8):
            archive.writestr(str(number), bytes(4 << 20))


def bomb_tar(path):
    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = 64 << 20
        archive.addfile(info, io.BytesIO(bytes(info.size)))


def bomb_long_name(path):
    """A member whose name is said to be 64 MiB long: a reader has to hold it in memory."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 64 << 20
    with tarfile.open(path, "w:gz") as archive:
        archive.fileobj.write(info.tobuf(tarfile.GNU_FORMAT))
        archive.fileobj.write(bytes(info.size))


@pytest.mark.parametrize("make", [bomb_zip, bomb_tar, bomb_long_name])
def test_a_bomb_is_stopped(tmp_path, monkeypatch, make):
    monkeypatch.setattr(archives, "_ALWAYS_ALLOWED", 8 << 20)
    make(tmp_path / "bomb")
    tracemalloc.start()
    with pytest.raises(StudyRefusedError, match="found more than 200 times its size inside") as caught:
        list(read_members(tmp_path / "bomb"))
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()
    assert caught.value.code == "damaged_archive"


def test_too_many_members(tmp_path, series, monkeypatch):
    monkeypatch.setattr(archives, "_MOST_MEMBERS", 10)
    with pytest.raises(StudyRefusedError, match="found more than 10 files inside"):
        list(read_members(make_zip(tmp_path / "a", series)))


def test_no_room_to_unpack_is_a_clear_error(tmp_path, series, index, monkeypatch):
    cohort = index(make_zip(tmp_path / "a", series))

    def full(source, target, length):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(archives.shutil, "copyfileobj", full)
    with pytest.raises(StoreError, match="room to unpack one series, found No space left on device; free space, or"):
        examined(cohort)


def test_an_archive_that_vanished_is_a_refusal(tmp_path, series, index):
    cohort = index(make_zip(tmp_path / "a", series))
    (tmp_path / "a").unlink()
    assert examined(cohort).verdict.outcome.code == "unreadable_file"


def test_plain_files_are_left_where_they_are(make_header):
    headers = (make_header(0.0), make_header(1.0))
    with unpacked(headers) as same:
        assert same is headers


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b rubbish", b"BZh9 rubbish", bytes(600)])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert not is_archive(tmp_path / "a")


def test_a_compressed_file_that_is_no_tar(tmp_path):
    with archives.gzip.open(tmp_path / "volume.nii.gz", "wb") as file:
        file.write(bytes(5000))
    assert not is_archive(tmp_path / "volume.nii.gz")
    assert not is_archive(Path(__file__))
