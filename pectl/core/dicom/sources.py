"""The files that a command was given: folders, single files, the files that a DICOMDIR lists."""

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from pectl.core.dicom.headers import find_files
from pectl.core.dicom.tags import quiet_pydicom
from pectl.errors import InputMissingError

DICOMDIR = "DICOMDIR"
"""The name that PS3.10 gives to the directory of a medium."""
UNLISTED = -2
"""The size of what is a folder that can't be listed."""


class FileEntry(NamedTuple):
    """A file as the file system knows it; `size` and `mtime_ns` are negative where it can't be looked at.

    A folder that can't be listed stands for what is in it, with the size `UNLISTED`.
    """

    path: Path
    size: int
    mtime_ns: int


def find_entries(sources: Sequence[Path]) -> Iterator[FileEntry]:
    """Yield every file of the sources once, and every folder that can't be listed, always in the same order.

    Raises:
        InputMissingError: a source isn't there, can't be looked at, or is a DICOMDIR that can't be read.
    """
    for source in sources:
        _check_there(source)
    seen: set[Path] = set()
    for source in sources:
        for path, listed in _paths(source):
            if len(sources) > 1:
                if path in seen:
                    continue
                seen.add(path)
            yield _entry(path) if listed else FileEntry(path, UNLISTED, UNLISTED)


def _check_there(source: Path) -> None:
    try:
        source.stat()
    except OSError as error:
        gone = isinstance(error, FileNotFoundError | NotADirectoryError)
        raise InputMissingError(
            where=source,
            expected="a folder, file, archive or DICOMDIR",
            found="no such file or folder" if gone else error.strerror or type(error).__name__,
            fix="check the path" if gone else "check permissions and the disk",
        ) from error


def _paths(source: Path) -> Iterator[tuple[Path, bool]]:
    """Yield the files of a source, and with False the folders that can't be listed."""
    if source.name == DICOMDIR and source.is_file():
        yield from ((path, True) for path in listed_files(source))
        return
    unlisted: list[Path] = []
    for path in find_files(source, failed=lambda error: unlisted.append(Path(error.filename or source))):
        yield from _taken(unlisted)
        yield path, True
    yield from _taken(unlisted)


def _taken(unlisted: list[Path]) -> Iterator[tuple[Path, bool]]:
    while unlisted:
        yield unlisted.pop(0), False


def listed_files(dicomdir: Path) -> Iterator[Path]:
    """Yield the files that a DICOMDIR lists, there or not; a way out of its folder is not followed.

    Raises:
        InputMissingError: it can't be read, or lists no file.
    """
    import pydicom  # a second of imports that other sources needn't pay

    with quiet_pydicom():
        try:
            dataset = pydicom.dcmread(dicomdir, force=True, specific_tags=["DirectoryRecordSequence"])
            records = dataset.get("DirectoryRecordSequence") or []
            listed = [_components(record.get("ReferencedFileID")) for record in records]
        except Exception as error:
            raise _bad_dicomdir(dicomdir, f"{type(error).__name__} while reading it") from error
    safe = [parts for parts in listed if parts and all(part not in ("", ".", "..") for part in parts)]
    if not safe:
        raise _bad_dicomdir(dicomdir, "no file listed")
    for parts in safe:
        yield dicomdir.parent.joinpath(*parts)


def _components(file_id: object) -> tuple[str, ...]:
    """Return the components of a ReferencedFileID; a component with a separator in it gives none."""
    names = [file_id] if isinstance(file_id, str) else list(file_id or ())  # type: ignore[call-overload]  # MultiValue
    parts = tuple(str(name) for name in names)
    return parts if all(len(PurePosixPath(part).parts) == 1 and part[0] != "/" for part in parts) else ()


def _bad_dicomdir(path: Path, found: str) -> InputMissingError:
    return InputMissingError(
        where=path, expected="a DICOMDIR that lists files", found=found, fix="give the folder of the files instead"
    )


def _entry(path: Path) -> FileEntry:
    try:
        status = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for a million files
    except OSError:
        return FileEntry(path, -1, -1)
    if not stat.S_ISREG(status.st_mode):  # a pipe would wait for ever
        return FileEntry(path, -1, -1)
    return FileEntry(path, status.st_size, status.st_mtime_ns)
