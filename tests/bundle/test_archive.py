import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from pectl.bundle import archive
from pectl.bundle.archive import Entry, open_archive, write_archive
from pectl.errors import StoreError

MEMBERS = {"b/model.bin": bytes(range(256)), "a.json": b'{"a": 1}', "empty.txt": b""}


def read_all(path: Path) -> dict[str, bytes]:
    with open_archive(path) as opened:
        return {name: opened.read(name) for name in opened.entries}


def refusal(path: Path) -> str:
    with pytest.raises(StoreError) as caught:
        read_all(path)
    return str(caught.value)


def zipped(path: Path, *members: tuple[zipfile.ZipInfo, bytes], comment: bytes = b"") -> Path:
    """Write a zip by the standard library, which lets everything through."""
    with warnings.catch_warnings(action="ignore"), zipfile.ZipFile(path, "w") as file:  # of a name that comes twice
        file.comment = comment
        for info, data in members:
            file.writestr(info, data)
    return path


def plain(name: str, **changes: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.create_system, info.external_attr = 3, 0o100644 << 16
    for key, value in changes.items():
        setattr(info, key, value)
    return info


def test_what_was_written_is_read_and_any_zip_program_opens_it(tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    write_archive(path, MEMBERS)
    assert read_all(path) == MEMBERS
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.namelist() == ["a.json", "b/model.bin", "empty.txt"]
        assert {name: file.read(name) for name in file.namelist()} == MEMBERS
        assert {info.date_time for info in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_the_standard_library_writes_the_same_bytes(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.pectl", MEMBERS)
    theirs = zipped(tmp_path / "y.pectl", *((plain(name), MEMBERS[name]) for name in sorted(MEMBERS)))
    assert (tmp_path / "x.pectl").read_bytes() == theirs.read_bytes()


def test_the_order_in_which_members_are_given_changes_nothing(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.pectl", MEMBERS)
    write_archive(tmp_path / "y.pectl", dict(reversed(MEMBERS.items())))
    assert (tmp_path / "x.pectl").read_bytes() == (tmp_path / "y.pectl").read_bytes()


def test_every_flipped_bit_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    write_archive(path, {"a.json": b'{"a": 1}', "b/c.bin": b"\0\1\2"})
    whole = path.read_bytes()
    for place in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[place // 8] ^= 1 << place % 8
        path.write_bytes(changed)
        assert str(path) in refusal(path), f"bit {place % 8} of byte {place // 8}"


def test_every_length_but_the_whole_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    write_archive(path, MEMBERS)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        assert str(path) in refusal(path)
    for more in (b"\0", b"PK\5\6" + bytes(18), whole):
        path.write_bytes(whole + more)
        assert str(path) in refusal(path)


HOSTILE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "twice": (lambda p: zipped(p, (plain("a"), b"1"), (plain("a"), b"2")), "each member once, found a twice"),
    "link": (
        lambda p: zipped(p, (plain("a", external_attr=0o120777 << 16), b"/etc/passwd")),
        "found 'a', a link",
    ),
    "folder": (lambda p: zipped(p, (plain("a", external_attr=0o040755 << 16), b"")), "found 'a', no plain file"),
    "climbs": (lambda p: zipped(p, (plain("../a"), b"1")), "found '../a', a path that leads elsewhere"),
    "climbs inside": (lambda p: zipped(p, (plain("b/../../a"), b"1")), "found 'b/../../a', a path"),
    "absolute": (lambda p: zipped(p, (plain("/etc/a"), b"1")), "found '/etc/a', a path"),
    "backslash": (lambda p: zipped(p, (plain("b\\a"), b"1")), "found 'b\\\\a', a path"),
    "drive": (lambda p: zipped(p, (plain("c:a"), b"1")), "found 'c:a', a path"),
    "hidden": (lambda p: zipped(p, (plain(".a"), b"1")), "found '.a', a path"),
    "long name": (lambda p: zipped(p, (plain("a"), b"1"), (plain("b" * 101), b"2")), "bbb', a path"),
    "compressed": (
        lambda p: zipped(p, (plain("a", compress_type=zipfile.ZIP_DEFLATED), b"1" * 99)),
        "found 'a', compressed",
    ),
    "other date": (
        lambda p: zipped(p, (plain("a", date_time=(1999, 1, 1, 0, 0, 0)), b"1")),  # type: ignore[arg-type]
        "the header of a where and as the directory has it",
    ),
    "extra field": (
        lambda p: zipped(p, (plain("a", extra=b"\x99\x99\0\0"), b"1")),  # type: ignore[arg-type]
        "found 'a', with an extra field or a comment",
    ),
    "comment": (lambda p: zipped(p, (plain("a"), b"1"), comment=b"hello"), "which ends with its directory"),
    "order": (lambda p: zipped(p, (plain("b"), b"1"), (plain("a"), b"2")), "members in the order of their names"),
    "no member": (lambda p: zipped(p), "1 to 999 members, found 0"),
    "short": (lambda p: (p.write_bytes(b"PK"), p)[1], "a file of 22 to"),
    "text": (lambda p: (p.write_bytes(b"no zip at all" * 9), p)[1], "which ends with its directory"),
    "folder as file": (lambda p: (p.mkdir(), p)[1], "expected a bundle, found Is a directory"),
    "none": (lambda p: p, "expected a bundle, found No such file or directory"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_another_form_is_refused_and_named(name: str, tmp_path: Path) -> None:
    make, wanted = HOSTILE[name]
    text = refusal(make(tmp_path / "x.pectl"))
    assert wanted in text
    assert text.startswith(str(tmp_path / "x.pectl"))
    assert "\n" not in text


def test_bytes_between_members_are_refused(tmp_path: Path) -> None:
    path, data = tmp_path / "x.pectl", b"1"
    first, second = Entry("a", 1, 0x83DCEFB7, 0), Entry("b", 1, 0x83DCEFB7, 40)
    body = first.local() + data + b"hidden!!" + second.local() + data
    directory = first.central() + second.central()
    path.write_bytes(body + directory + archive._end(2, len(directory), len(body)))
    assert "the header of b where and as the directory has it" in refusal(path)


def test_bytes_before_the_directory_are_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 1, 0x83DCEFB7, 0)
    body = entry.local() + b"1" + b"hidden"
    path.write_bytes(body + entry.central() + archive._end(1, len(entry.central()), len(body)))
    assert "bytes that belong to no member" in refusal(path)


def test_a_directory_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 1, 0x83DCEFB7, 0)
    body, directory = entry.local() + b"1", entry.central() + b"PK"
    path.write_bytes(body + directory + archive._end(1, len(directory), len(body)))
    assert "expected a whole directory, found one that is cut off" in refusal(path)


def test_an_encrypted_member_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 1, 0x83DCEFB7, 0)
    body, directory = entry.local() + b"1", bytearray(entry.central())
    directory[8] |= 1
    path.write_bytes(body + directory + archive._end(1, len(directory), len(body)))
    assert "found 'a', encrypted or of an unknown kind" in refusal(path)


def test_sizes_are_bounded_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 2**32 - 9, 0x83DCEFB7, 0)
    body, directory = entry.local() + b"1", entry.central()
    path.write_bytes(body + directory + archive._end(1, len(directory), len(body)))
    assert f"found 'a', larger than {2**31:,} bytes" in refusal(path)
    monkeypatch.setattr(archive, "MAX_BYTES", 50)
    assert "a file of 22 to 50 bytes" in refusal(path)
    with pytest.raises(StoreError, match="at most 50 bytes in a bundle, found 39"):
        write_archive(tmp_path / "y.pectl", {"a": b"12345678"})
    assert not (tmp_path / "y.pectl").exists()


def test_a_member_that_is_longer_than_the_file_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 10**9, 0x83DCEFB7, 0)
    body, directory = entry.local() + b"1", entry.central()
    path.write_bytes(body + directory + archive._end(1, len(directory), len(body)))
    assert "a directory of just the members" in refusal(path)


def test_a_directory_larger_than_its_members_need_is_refused(tmp_path: Path) -> None:
    path, entry = tmp_path / "x.pectl", Entry("a", 1, 0x83DCEFB7, 0)
    body, directory = entry.local() + b"1", entry.central() + bytes(200)
    path.write_bytes(body + directory + archive._end(1, len(directory), len(body)))
    assert "found 1 in a directory of 247 bytes" in refusal(path)


def test_a_name_that_is_not_there(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.pectl", MEMBERS)
    with (
        open_archive(tmp_path / "x.pectl") as opened,
        pytest.raises(StoreError, match=r"the member c\.json, found none"),
    ):
        opened.read("c.json")


def test_a_changed_member_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.pectl"
    write_archive(path, MEMBERS)
    path.write_bytes(path.read_bytes().replace(b'{"a": 1}', b'{"a": 2}'))
    assert "the member a.json as it was written, found a changed one" in refusal(path)
