"""The zip file of a bundle, in one form only: stored members in the order of their names, fixed dates, nothing else.

The same members make the same bytes, and a reader can compute every byte that isn't a member's: a file of any other
form is refused. The layout is that of PKWARE's APPNOTE 6.3.10, sections 4.3.7, 4.3.12 and 4.3.16; any zip program
opens it.
"""

import re
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pectl.core.storage.files import atomic_path
from pectl.errors import StoreError

MADE_BY = "pectl bundle"
MAX_MEMBERS = 999
MAX_BYTES = 2**32 - 1
"""Of the whole file: beyond it a zip would need its 64-bit form."""
MAX_MEMBER_BYTES = 2**31
MAX_NAME = 100

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")
_LOCAL = struct.Struct("<4s5H3L2H")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION_NEEDED, _MADE_BY_UNIX = 20, 3 << 8 | 20
_DATE = 1 << 5 | 1
"""1980-01-01, the first day that a zip can name."""
_PLAIN_FILE = 0o100644 << 16
_CHUNK = 2**20


@dataclass(frozen=True)
class Entry:
    """A member as the directory has it."""

    name: str
    size: int
    crc: int
    offset: int
    """Of its own header in the file."""

    def local(self) -> bytes:
        """Return the header before its content."""
        name = self.name.encode()
        return _LOCAL.pack(b"PK\3\4", *self._shared(), len(name), 0) + name

    def central(self) -> bytes:
        """Return its row of the directory."""
        name = self.name.encode()
        tail = (len(name), 0, 0, 0, 0, _PLAIN_FILE, self.offset)
        return _ENTRY.pack(b"PK\1\2", _MADE_BY_UNIX, *self._shared(), *tail) + name

    def _shared(self) -> tuple[int, ...]:
        return _VERSION_NEEDED, 0, 0, 0, _DATE, self.crc, self.size, self.size

    @property
    def begin(self) -> int:
        """Return where its content begins."""
        return self.offset + _LOCAL.size + len(self.name)

    @property
    def end(self) -> int:
        """Return where its content ends."""
        return self.begin + self.size


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write the members as a whole file or none.

    Raises:
        StoreError: the disk is full or the folder can't be written, or the members are more than a bundle holds.
    """
    entries = _laid_out(members)
    directory = b"".join(entry.central() for entry in entries)
    end = entries[-1].end
    if end + len(directory) + _END.size > MAX_BYTES:
        raise StoreError(
            where=path,
            expected=f"at most {MAX_BYTES:,} bytes in a bundle",
            found=f"{end:,}",
            fix="bundle fewer runs",
        )
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for entry in entries:
            file.write(entry.local())
            file.write(members[entry.name])
        file.write(directory + _end(len(entries), len(directory), end))


def _laid_out(members: Mapping[str, bytes]) -> list[Entry]:
    entries: list[Entry] = []
    for name, data in sorted(members.items()):
        offset = entries[-1].end if entries else 0
        entries.append(Entry(name, len(data), zlib.crc32(data), offset))
    return entries


def _end(count: int, directory_size: int, directory_offset: int) -> bytes:
    return _END.pack(b"PK\5\6", 0, 0, count, count, directory_size, directory_offset, 0)


class Archive:
    """An open bundle whose form has been checked; members are read one at a time, and checked as they are."""

    def __init__(self, path: Path, file: BinaryIO, entries: Sequence[Entry]) -> None:
        self.path, self._file = path, file
        self.entries = {entry.name: entry for entry in entries}

    def read(self, name: str) -> bytes:
        """Return a member.

        Raises:
            StoreError: there is none of this name, or it isn't what was written.
        """
        entry = self.entries.get(name)
        if entry is None:
            raise refused(self.path, f"the member {name}", "none")
        self._file.seek(entry.begin)
        data = self._file.read(entry.size)
        if zlib.crc32(data) != entry.crc:
            raise refused(self.path, f"the member {name} as it was written", "a changed one")
        return data


@contextmanager
def open_archive(path: Path) -> Iterator[Archive]:
    """Open a bundle and check the form of the whole file; no member is read yet.

    Raises:
        StoreError: no such file, or it has another form than `write_archive` gives it.
    """
    try:
        with path.open("rb") as file:
            yield Archive(path, file, _checked_entries(path, file))
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise refused(path, "a bundle", error.strerror or str(error)) from error


def refused(path: Path, expected: str, found: str) -> StoreError:
    """Return the error of a file that isn't a whole bundle."""
    fix = f"copy the file again from where it was made, or make it again with {MADE_BY}"
    return StoreError(where=path, expected=expected, found=found, fix=fix)


def _checked_entries(path: Path, file: BinaryIO) -> list[Entry]:
    """Read the directory, and check that every byte of the file is a member's or follows from it."""
    size = file.seek(0, 2)
    count, directory_size, directory_offset = _read_end(path, file, size)
    file.seek(directory_offset)
    directory = file.read(directory_size)
    entries = list(_rows(path, directory))
    _check_names(path, [entry.name for entry in entries])
    offset = 0
    for entry in entries:
        _check_entry(path, file, entry, offset)
        offset = entry.end
    same = b"".join(entry.central() for entry in entries) == directory
    if (offset, len(entries), same) != (directory_offset, count, True):
        raise refused(path, "a directory of just the members", "another one, or bytes that belong to no member")
    return entries


def _read_end(path: Path, file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Return count, size and offset of the directory, from the file's last 22 bytes."""
    if not _END.size <= size <= MAX_BYTES:
        raise refused(path, f"a file of {_END.size} to {MAX_BYTES:,} bytes", f"{size:,}")
    file.seek(size - _END.size)
    raw = file.read(_END.size)
    _, _, _, count, _, directory_size, offset, _ = _END.unpack(raw)
    if raw != _end(count, directory_size, offset) or offset + directory_size + _END.size != size:
        raise refused(path, "a bundle, which ends with its directory", "another end: cut off, changed or added to")
    if not (0 < count <= MAX_MEMBERS and directory_size <= count * (_ENTRY.size + MAX_NAME)):
        raise refused(path, f"1 to {MAX_MEMBERS} members", f"{count} in a directory of {directory_size:,} bytes")
    return count, directory_size, offset


def _rows(path: Path, directory: bytes) -> Iterator[Entry]:
    """Yield the rows of the directory."""
    at = 0
    while at < len(directory):
        if len(directory) - at < _ENTRY.size:
            raise refused(path, "a whole directory", "one that is cut off")
        fields = _ENTRY.unpack_from(directory, at)
        length = fields[10]
        name = directory[at + _ENTRY.size : at + _ENTRY.size + length].decode("utf-8", "backslashreplace")
        entry = Entry(name, size=fields[9], crc=fields[7], offset=fields[16])
        _check_kind(path, name, fields)
        yield entry
        at += _ENTRY.size + length


def _check_kind(path: Path, name: str, fields: tuple[int, ...]) -> None:
    """Refuse what isn't a plain, stored file with a plain name."""
    kind = (fields[15] >> 16) & 0o170000
    faults = {
        "a path that leads elsewhere or has other signs than letters, digits, _ . - /": not _is_safe(name),
        "a link": kind == 0o120000,
        "no plain file": kind != 0o100000,
        "compressed": fields[4] != 0 or fields[8] != fields[9],
        "encrypted or of an unknown kind": fields[3] != 0,
        "with an extra field or a comment": (fields[11], fields[12]) != (0, 0),
        f"larger than {MAX_MEMBER_BYTES:,} bytes": fields[9] > MAX_MEMBER_BYTES,
    }
    for fault, there in faults.items():
        if there:
            raise refused(path, "stored members, plain files by their names", f"{name!r}, {fault}")


def _is_safe(name: str) -> bool:
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def _check_names(path: Path, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise refused(path, "each member once", f"{name} twice")
        seen.add(name)
    if names != sorted(names):
        raise refused(path, "members in the order of their names", "another order")


def _check_entry(path: Path, file: BinaryIO, entry: Entry, offset: int) -> None:
    """Check that a member lies right behind the one before it, under the header that its row gives."""
    file.seek(offset)
    wanted = entry.local()
    if entry.offset != offset or file.read(len(wanted)) != wanted:
        raise refused(path, f"the header of {entry.name} where and as the directory has it", "another one")
