"""Files that are either whole or absent: written beside their place, then renamed."""

import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pectl.errors import PectlError, StoreError

_FREE_SPACE = "free space or choose another folder, then run the command again"
_ASK_FOR_RIGHTS = "check who may read and write it and its folder (ls -ld), then run the command again"
_MORE_FILES = "allow more open files (ulimit -n 4096) or use fewer --workers, then run the command again"
_DISK_FAILS = "the file may be whole, so keep it: check the disk or the file server, then run the command again"
_SERVER_LOST = "the file may be whole, so keep it: run the command again; if that fails too, mount its file system anew"
_NO_LOCKS = "the file may be whole, so keep it: set HDF5_USE_FILE_LOCKING=FALSE, then run the command again"
_WAYS_OUT = {
    errno.ENOSPC: _FREE_SPACE,
    errno.EDQUOT: "free space within your quota or choose another folder, then run the command again",
    errno.EROFS: "choose a folder that can be written, then run the command again",
    errno.EACCES: _ASK_FOR_RIGHTS,
    errno.EPERM: _ASK_FOR_RIGHTS,
    errno.EMFILE: _MORE_FILES,
    errno.ENFILE: _MORE_FILES,
    errno.ENOMEM: "free memory or use fewer --workers, then run the command again",
    errno.EIO: _DISK_FAILS,
    errno.EREMOTEIO: _DISK_FAILS,
    errno.ESTALE: _SERVER_LOST,
    errno.ETIMEDOUT: _SERVER_LOST,
    errno.EHOSTDOWN: _SERVER_LOST,
    errno.ENOTCONN: _SERVER_LOST,
    errno.ENOLCK: _NO_LOCKS,
    errno.EAGAIN: _NO_LOCKS,
}
"""What to do where the system, not the file, is at fault."""


def system_fault(error: BaseException) -> tuple[str, str] | None:
    """Return what the system says and what to do about it; None where the fault may be the file's own.

    HDF5 gives its error number in the text of some errors alone.
    """
    number = getattr(error, "errno", None)
    if number is None and (found := re.search(r"errno = (\d+)", str(error))):
        number = int(found[1])
    return (os.strerror(number), _WAYS_OUT[number]) if number in _WAYS_OUT else None


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary sibling of `path`; when the block ends without an error it becomes `path`.

    Raises:
        StoreError: the disk is full or the folder can't be written; nothing is left behind.
    """
    temporary = path
    try:
        temporary = _temporary_beside(path)
        yield temporary
        temporary.chmod(0o666 & ~_umask())  # now, as some writers (safetensors) put a file of their own in its place
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise not_written(path, error, what="the file") from error
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary sibling of the folder `path`; when the block ends without an error it takes its place.

    For one process at a time. Where one was killed between the two renames, `settle_folder` brings the old folder back.

    Raises:
        StoreError: the disk is full or the folder can't be written; nothing is left behind.
    """
    temporary, old = _beside(path, "tmp"), _beside(path, "old")
    settle_folder(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        if path.exists():
            path.rename(old)
        temporary.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        if isinstance(error, PectlError):
            raise
        raise not_written(path, error, what="the folder") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def settle_folder(path: Path) -> None:
    """Finish what a process that was killed in `atomic_folder` left: one folder at its place, none beside it."""
    old = _beside(path, "old")
    if old.exists() and not path.exists():
        old.rename(path)
    for left in (old, _beside(path, "tmp")):
        shutil.rmtree(left, ignore_errors=True)


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f".{path.name}.{ending}")


def not_written(path: Path, error: OSError, *, what: str) -> StoreError:
    """Return what to raise where something could not be written."""
    found, fix = system_fault(error) or (error.strerror or str(error), _FREE_SPACE)
    return StoreError(where=path, expected=f"to write {what}", found=found, fix=fix)


def _temporary_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    return Path(name)


def _umask() -> int:
    current = os.umask(0)
    os.umask(current)
    return current


@contextmanager
def nothing_left(folder: Path, *errors: type[PectlError]) -> Iterator[None]:
    """Take a new folder away again where one of these errors says that there is nothing to put into it."""
    there = folder.exists()
    try:
        yield
    except errors:
        if not there:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a text file as a whole or not at all."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, data: object) -> None:
    """Write JSON as a whole or not at all; NaN and infinity are refused, undefined values are null."""
    write_text(path, json.dumps(data, indent=2, allow_nan=False) + "\n")


def read_json(path: Path, *, made_by: str) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        StoreError: no such file, or it isn't a JSON object; `made_by` is the command that makes it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"no valid JSON ({error})"
        found, fix = system_fault(error) or (
            reason or "an unreadable file",
            f"check the path, or run {made_by} again",
        )
        raise StoreError(where=path, expected=f"a file that {made_by} writes", found=found, fix=fix) from error
    if not isinstance(data, dict):
        raise StoreError(where=path, expected="a JSON object", found=type(data).__name__, fix=f"run {made_by} again")
    return data


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
