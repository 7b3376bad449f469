"""Files that are either whole or absent: written beside their place, then renamed."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pectl.errors import PectlError, StoreError


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
        temporary.replace(path)
    except OSError as error:
        if isinstance(error, StoreError):
            raise
        raise StoreError(
            where=path,
            expected="to write the file",
            found=error.strerror or str(error),
            fix="free space or choose another folder, then run the command again",
        ) from error
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def _temporary_beside(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o666 & ~_umask())
    return temporary


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
        raise StoreError(
            where=path,
            expected=f"a file that {made_by} writes",
            found=reason or "an unreadable file",
            fix=f"check the path, or run {made_by} again",
        ) from error
    if not isinstance(data, dict):
        raise StoreError(where=path, expected="a JSON object", found=type(data).__name__, fix=f"run {made_by} again")
    return data


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
