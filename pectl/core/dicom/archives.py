"""DICOM files inside zip and tar archives, read and unpacked without trusting a name or a size in them.

A member is known by its place in the archive; names from the archive are never used as paths.
"""

import bz2
import gzip
import io
import lzma
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any, BinaryIO, cast

from pectl.core.dicom.headers import SliceHeader
from pectl.errors import StoreError, StudyRefusedError

_OPENERS: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_MAGIC_AT = 257
_TAR_NAMES = (".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
_LARGEST_RATIO = 200
"""No archive of images grows by more: CT shrinks two- to threefold, empty images perhaps a hundredfold."""
_ALWAYS_ALLOWED = 256 << 20
_MOST_MEMBERS = 5_000_000
HEADER_BYTES = 8 << 20
"""As much of a member is read for its header."""

_FAULTS = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)
"""What the libraries raise for damaged, encrypted or unknown archives; OSError comes from a failing disk too."""


class _TooLargeError(Exception):
    """The archive grows beyond what images can."""


def is_archive(path: Path) -> bool:
    """Tell by its first bytes whether a file is a zip or a tar, perhaps compressed; a damaged one by its name.

    Raises:
        OSError: the file can't be read.
    """
    with path.open("rb") as file:
        head = file.read(512)
        if head.startswith(_ZIP) or _is_tar(head):
            return True
        opener = _opener(head)
        if opener is None:
            return False
        file.seek(0)
        try:
            with opener(file) as plain:
                return _is_tar(cast("bytes", plain.read(512)))
        except (*_FAULTS, OSError):
            return path.name.lower().endswith(_TAR_NAMES)


def read_members(path: Path) -> Iterator[tuple[int, BinaryIO]]:
    """Yield the place of each file in an archive, and its first bytes, enough for a header.

    Raises:
        StudyRefusedError: damaged, encrypted, or larger than an archive of images can be.
        OSError: the archive can't be read.
    """
    with _refusing(path):
        for place, file in _members(path):
            yield place, io.BytesIO(file.read(HEADER_BYTES))


@contextmanager
def unpacked(headers: tuple[SliceHeader, ...]) -> Iterator[tuple[SliceHeader, ...]]:
    """Yield the headers with paths of plain files: those inside archives are unpacked to a folder that is removed.

    Raises:
        StudyRefusedError: an archive is damaged.
        StoreError: the disk of the temporary folder is full.
        OSError: an archive can't be read.
    """
    if all(header.member < 0 for header in headers):
        yield headers
        return
    with TemporaryDirectory(prefix="pectl-") as folder:
        places = {(header.path, header.member): Path(folder, str(number)) for number, header in enumerate(headers)}
        for archive in sorted({path for path, member in places if member >= 0}):
            _unpack(archive, {member: target for (path, member), target in places.items() if path == archive})
        yield tuple(
            header if header.member < 0 else header._replace(path=places[header.path, header.member])
            for header in headers
        )


def _unpack(archive: Path, wanted: dict[int, Path]) -> None:
    with _refusing(archive):
        for place, file in _members(archive, frozenset(wanted)):
            try:
                with wanted[place].open("wb") as out:
                    shutil.copyfileobj(file, out, 1 << 20)
            except OSError as error:
                raise StoreError(
                    where=wanted[place].parent,
                    expected="room to unpack one series",
                    found=error.strerror or str(error),
                    fix="free space, or set TMPDIR to a larger disk",
                ) from error


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    try:
        yield
    except (*_FAULTS, OSError, _TooLargeError) as error:
        if isinstance(error, StoreError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        raise StudyRefusedError(
            "damaged_archive",
            where=f"an archive ({path.suffix or 'no suffix'})",
            expected="a whole zip or tar of images, not encrypted",
            found=str(error) if isinstance(error, _TooLargeError) else f"{type(error).__name__} while reading it",
            fix="make it again, or unpack it yourself",
        ) from error


def _members(path: Path, wanted: frozenset[int] | None = None) -> Iterator[tuple[int, IO[bytes]]]:
    """Yield place and content of the files of an archive, or of those wanted, in their order."""
    with path.open("rb") as file:
        head = file.read(512)
        file.seek(0)
        size = path.stat().st_size
        yield from (_zip_members if head.startswith(_ZIP) else _tar_members)(file, size, wanted)


def _zip_members(file: BinaryIO, size: int, wanted: frozenset[int] | None) -> Iterator[tuple[int, IO[bytes]]]:
    with zipfile.ZipFile(file) as archive:
        budget = _Budget(size)
        for place, info in enumerate(archive.infolist()):
            budget.count(place)
            if info.is_dir() or (wanted is not None and place not in wanted):
                continue
            with archive.open(info) as member:
                yield place, cast("IO[bytes]", _Metered(member, budget))


def _tar_members(file: BinaryIO, size: int, wanted: frozenset[int] | None) -> Iterator[tuple[int, IO[bytes]]]:
    """Read a tar, a compressed one from front to back; links, devices and folders are passed over."""
    inside = _Budget(size)  # sparse members can be larger than what is read for them
    with ExitStack() as stack:
        opener = _opener(file.read(8))
        file.seek(0)
        plain: IO[bytes] = file
        if opener is not None:
            plain = cast("IO[bytes]", _Metered(stack.enter_context(opener(file)), _Budget(size)))
        archive = stack.enter_context(tarfile.open(fileobj=plain, mode="r:" if opener is None else "r|"))
        for place, info in enumerate(archive):
            inside.count(place)
            member = archive.extractfile(info) if info.isreg() and (wanted is None or place in wanted) else None
            if member is not None:
                yield place, cast("IO[bytes]", _Metered(member, inside))
        while opener is not None and plain.read(1 << 20):  # to its checksum, which stands at the end
            pass


def _opener(head: bytes) -> Callable[..., Any] | None:
    """Return what decompresses a stream that begins so."""
    return next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)


def _is_tar(head: bytes) -> bool:
    return head[_TAR_MAGIC_AT : _TAR_MAGIC_AT + 5] == b"ustar"


class _Budget:
    """How many bytes may come out of an archive of a given size."""

    def __init__(self, size: int) -> None:
        self._left = max(_ALWAYS_ALLOWED, _LARGEST_RATIO * size)

    def spend(self, n_bytes: int) -> None:
        self._left -= n_bytes
        if self._left < 0:
            raise _TooLargeError(f"more than {_LARGEST_RATIO} times its size inside")

    def count(self, place: int) -> None:
        if place >= _MOST_MEMBERS:
            raise _TooLargeError(f"more than {_MOST_MEMBERS} files inside")


class _Metered:
    """A stream whose bytes are counted against a budget as they come, in pieces of a megabyte."""

    def __init__(self, stream: IO[bytes], budget: _Budget) -> None:
        self._stream, self._budget = stream, budget

    def read(self, size: int = -1) -> bytes:
        parts = []
        while size != 0:
            part = self._stream.read(min(size, 1 << 20) if size > 0 else 1 << 20)
            if not part:
                break
            self._budget.spend(len(part))
            parts.append(part)
            size -= len(part) if size > 0 else 0
        return b"".join(parts)
