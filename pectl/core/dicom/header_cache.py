"""What the index keeps on disk: the headers of about a thousand files in each part, without names and patients.

A part is gzipped JSON: the format, the names of the header's fields, and per file a keyed hash of its place, its size
and time, what it is, and its headers. A file whose place, size or time differs is read anew; a part that can't be
read is made again. PatientID is kept as a keyed hash only, file names not at all; the key lies beside the parts,
readable by the owner alone. Times of day are moved by an amount that only the key knows, the same for all of a study.
The folder can be deleted at any time.
"""

import gzip
import hmac
import json
import os
import secrets
import socket
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from pectl.core.dicom.headers import DAY_SECONDS, ROW_FIELDS, Row
from pectl.core.dicom.patients import normal_patient_id
from pectl.core.dicom.sources import FileEntry
from pectl.core.storage.files import atomic_path
from pectl.errors import StoreError

FORMAT, VERSION = "pectl-dicom-index", 1
_FORMS = {"format": FORMAT, "version": VERSION, "fields": list(ROW_FIELDS)}
_STALE_SECONDS = 120.0
_LEVEL = 3
_KEY_BYTES, _KEY_TRIES = 32, 100


class Known(NamedTuple):
    """What is known of a file: `kind` is `dicom`, `other`, or the code of what is wrong with it.

    `n_damaged` counts the members of an archive whose headers are damaged.
    """

    kind: str
    headers: list[Row]
    n_damaged: int = 0


class HeaderCache:
    """The folder of the parts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _read_or_make_key(folder / "key")
        self._tokens: dict[str, str] = {}
        self._moved_by: dict[str, int] = {}

    def place(self, path: Path) -> str:
        """Return the keyed hash of a path, which names it in a part."""
        return self._hash("path", os.fsdecode(path.absolute()))

    def patient(self, patient_id: str) -> str:
        """Return the token of a PatientID; empty for an empty one or a placeholder."""
        if patient_id not in self._tokens:
            known = normal_patient_id(patient_id)
            self._tokens[patient_id] = self._hash("patient", known) if known else ""
        return self._tokens[patient_id]

    def moved(self, seconds: float | None, study_uid: str) -> float | None:
        """Return a time of day, moved round the clock by as much as all others of the study."""
        if seconds is None:
            return None
        if study_uid not in self._moved_by:
            self._moved_by[study_uid] = int(self._hash("time", study_uid), 16) % DAY_SECONDS
        return round((seconds + self._moved_by[study_uid]) % DAY_SECONDS, 3)

    def _hash(self, kind: str, text: str) -> str:
        return hmac.digest(self._key, f"{kind}:{text}".encode(errors="surrogateescape"), "sha256").hex()[:24]

    def read(self, part: str) -> dict[tuple[str, int, int], Known]:
        """Return what a part knows, by place, size and time; empty where it can't be read."""
        try:
            data = json.loads(gzip.decompress(self._path(part).read_bytes()))
            if {name: data[name] for name in _FORMS} != _FORMS:
                return {}
            return {(place, size, mtime): Known(*known) for place, size, mtime, *known in data["files"]}
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
            return {}

    def write(self, part: str, files: list[tuple[FileEntry, Known]]) -> None:
        """Write a part as a whole or not at all.

        Raises:
            StoreError: the disk is full, or the folder can't be written.
        """
        rows = [[self.place(entry.path), entry.size, entry.mtime_ns, *known] for entry, known in files]
        text = json.dumps(_FORMS | {"files": rows}, separators=(",", ":"), allow_nan=False)
        with atomic_path(self._path(part)) as temporary:
            temporary.write_bytes(gzip.compress(text.encode(), _LEVEL, mtime=0))

    def claim(self, part: str) -> bool:
        """Claim a part for this process, so that several jobs share the reading; False where another one has it.

        A claim of a process of this machine that has ended, or one that is minutes old, counts no more.
        """
        path = self._claim_path(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
        except FileExistsError:
            return _is_stale(path)
        with os.fdopen(handle, "w") as file:
            file.write(f"{socket.gethostname()} {os.getpid()}")
        return True

    def release(self, part: str) -> None:
        """Give a claimed part back."""
        self._claim_path(part).unlink(missing_ok=True)

    def _path(self, part: str) -> Path:
        return self._folder / part[:2] / f"{part}.json.gz"

    def _claim_path(self, part: str) -> Path:
        return self._folder / part[:2] / f"{part}.claim"


def _is_stale(claim: Path) -> bool:
    try:
        age = time.time() - claim.stat().st_mtime
        host, _, process = claim.read_text().partition(" ")
    except OSError:
        return False
    if host == socket.gethostname() and process.isdecimal():
        return not Path("/proc", process).exists()
    return age > _STALE_SECONDS


def _read_or_make_key(path: Path) -> bytes:
    """Read the secret of an index, or make it; of several processes that make it at once one wins.

    Raises:
        StoreError: the folder can't be written, or the key is damaged.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _make_key(path)
        for _ in range(_KEY_TRIES):
            if len(key := path.read_bytes()) == _KEY_BYTES:
                return key
            time.sleep(0.02)  # another process is about to write it
    except OSError as error:
        raise StoreError(
            where=path,
            expected="to keep the index of the files here",
            found=error.strerror or str(error),
            fix="choose another folder with --index",
        ) from error
    raise StoreError(
        where=path, expected=f"{_KEY_BYTES} bytes", found=f"{len(key)}", fix="delete the folder of the index"
    )


def _make_key(path: Path) -> None:
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "wb") as file:
        file.write(secrets.token_bytes(_KEY_BYTES))
