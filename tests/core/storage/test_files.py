import errno
import json
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from pectl.core.storage.files import atomic_folder, atomic_path, read_json, settle_folder, write_json
from pectl.core.storage.h5 import create_h5, open_h5
from pectl.core.storage.stamp import RESEARCH_USE, Stamp, check_lineage, digest_of, read_stamp, write_stamp
from pectl.errors import LineageError, StoreError

STAMP = Stamp(format="f", version=1, digest="d", made_from={"a": "b"}, config_digest="c")


def test_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text(f"half{1 / 0}")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]
    with atomic_path(tmp_path / "deep" / "b.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "deep" / "b.txt").read_text() == "new"


def test_file_has_the_rights_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("")
    write_json(tmp_path / "a.json", {})
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_full_disk_is_one_clear_line(tmp_path: Path) -> None:
    wanted = r"a\.txt: expected to write the file, found No space left on device; free"
    with pytest.raises(StoreError, match=wanted), atomic_path(tmp_path / "a.txt"):
        raise OSError(28, os.strerror(28))
    assert list(tmp_path.iterdir()) == []


def test_folder_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "a"
    with atomic_folder(folder) as temporary:
        (temporary / "old.txt").write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as temporary:
        (temporary / "new.txt").write_text(f"half{1 / 0}")
    assert [path.name for path in folder.parent.rglob("*")] == ["a", "old.txt"]
    with atomic_folder(folder) as temporary:
        (temporary / "new.txt").write_text("new")
    assert [path.name for path in folder.parent.rglob("*")] == ["a", "new.txt"]


def test_full_disk_leaves_the_old_folder(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    wanted = r"a: expected to write the folder, found No space left on device; free"
    with pytest.raises(StoreError, match=wanted), atomic_folder(tmp_path / "a"):
        raise OSError(28, os.strerror(28))
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_what_a_killed_process_left_is_settled(tmp_path: Path) -> None:
    for name in (".a.old", ".a.tmp", "b", ".b.old"):
        (tmp_path / name).mkdir()
    (tmp_path / ".a.old" / "x").write_text("whole")
    settle_folder(tmp_path / "a")
    settle_folder(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
    assert (tmp_path / "a" / "x").read_text() == "whole"


def test_json_holds_no_nan_and_must_be_an_object(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(StoreError, match="expected a JSON object, found list; run pectl x again"):
        read_json(tmp_path / "list.json", made_by="pectl x")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StoreError, match="expected a file that pectl x writes, found no valid JSON"):
        read_json(tmp_path / "bad.json", made_by="pectl x")


def test_h5_must_be_there_whole_and_keep_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(StoreError, match=r"a\.h5: expected a whole HDF5 file, found no such file; run pectl x again"):
        open_h5(path, made_by="pectl x")
    with create_h5(path) as file:
        file["x"] = np.arange(9999)
        file["group/elsewhere"] = h5py.ExternalLink("/etc/passwd", "/x")
    with pytest.raises(StoreError, match=r"a\.h5: expected data inside the file, found links to elsewhere: elsewhere"):
        open_h5(path, made_by="pectl x")
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(StoreError, match=r"a\.h5: expected a whole HDF5 file, found a damaged one"):
        open_h5(path, made_by="pectl x")


def test_h5_that_takes_its_values_from_other_files_is_refused(tmp_path: Path) -> None:
    """In each of the ways that HDF5 has: links, external storage, virtual data sets."""
    virtual = h5py.VirtualLayout((4,), np.int16)
    virtual[:] = h5py.VirtualSource("elsewhere.h5", "x", (4,))
    with create_h5(tmp_path / "a.h5") as file:
        file["a/inside"] = [1]
        file["a/linked"] = h5py.ExternalLink("elsewhere.h5", "/x")
        file["b/soft"] = h5py.SoftLink("/a/inside")
        file.create_dataset("b/stored", (4,), np.int16, external=[("elsewhere.bin", 0, 8)])
        file.create_virtual_dataset("b/virtual", virtual)
    with pytest.raises(StoreError, match="found links to elsewhere: linked, soft, stored, virtual; don't use"):
        open_h5(tmp_path / "a.h5", made_by="pectl x")
    open_h5(tmp_path / "a.h5", made_by="pectl x", known=True).close()


def test_stamp_comes_back_and_other_versions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    write_stamp(path, STAMP, more=1)
    stamp, rest = read_stamp(path, format="f", version=1, made_by="pectl x")
    assert stamp == STAMP
    assert not set(rest) & set(json.loads(path.read_text())) & {"format", "digest", "use"}
    assert json.loads(path.read_text())["use"] == RESEARCH_USE
    with pytest.raises(
        StoreError, match=r"s\.json: expected f version 2, found f version 1; point to a folder of pectl x"
    ):
        read_stamp(path, format="f", version=2, made_by="pectl x")
    write_json(path, {"format": "f", "version": 1})
    with pytest.raises(StoreError, match="expected the key 'digest', found none; run pectl x again"):
        read_stamp(path, format="f", version=1, made_by="pectl x")


def test_digest_doesnt_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1}) != digest_of({"a": 2, "b": 1})


def test_lineage_names_both_digests() -> None:
    check_lineage(where="w", expected="a", found="a", what="store")
    with pytest.raises(LineageError, match="w: expected store aaa, found bbb; use the artefacts of one chain"):
        check_lineage(where="w", expected="aaa", found="bbb", what="store")


def test_a_file_that_the_writer_replaces_has_the_rights_of_any_new_file_too(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        with atomic_path(tmp_path / "a.bin") as temporary:
            (tmp_path / "other").touch(0o600)
            (tmp_path / "other").replace(temporary)  # as safetensors does
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o664


@pytest.mark.parametrize(
    ("number", "fix"),
    [
        (errno.EACCES, "Permission denied; check who may read and write it"),
        (errno.EROFS, "Read-only file system; choose a folder that can be written"),
        (errno.EDQUOT, "Disk quota exceeded; free space within your quota"),
        (errno.EIO, "Input/output error; the file may be whole"),
    ],
)
def test_what_stops_a_file_from_being_written_has_its_own_way_out(tmp_path: Path, number: int, fix: str) -> None:
    with pytest.raises(StoreError, match=f"expected to write the file, found {fix}"), atomic_path(tmp_path / "a.txt"):
        raise OSError(number, os.strerror(number))


def test_a_json_that_may_not_be_read_is_not_to_be_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **how: object) -> str:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_text", refuse)
    with pytest.raises(StoreError, match="a file that pectl x writes, found Permission denied; check who may read"):
        read_json(tmp_path / "a.json", made_by="pectl x")
