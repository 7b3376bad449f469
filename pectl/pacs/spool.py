"""The spool: a folder for each state, a folder for each study in it. A study changes its state by one rename.

    spool/received/<StudyInstanceUID>/<SOPInstanceUID>.dcm   objects still come
    spool/complete/<StudyInstanceUID>/                       waits for the model
    spool/predicted/<StudyInstanceUID>/                      waits to be sent
    spool/sent/<StudyInstanceUID>/                           the receiver has been seen to hold the answer
    spool/refused/<StudyInstanceUID>/                        the model can't read it
    spool/failed/<StudyInstanceUID>/, <StudyInstanceUID>.txt why it couldn't be predicted or sent

The time of a folder is when the study came into its state. Nothing else is kept anywhere, so whoever starts anew goes
on where another was killed, and a person may move a study by hand.
"""

import filecmp
import hashlib
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from pectl.core.dicom.headers import is_safe_uid
from pectl.core.storage.files import not_written, write_text


class State(StrEnum):
    """Where a study stands; the name of the folder."""

    RECEIVED = "received"
    COMPLETE = "complete"
    PREDICTED = "predicted"
    SENT = "sent"
    REFUSED = "refused"
    FAILED = "failed"


LATER = tuple(State)[1:]
"""A study is in one of these at most; in `received` beside it, where more of it comes."""


class Coming(NamedTuple):
    """When the first and the last object of a study came, in seconds since 1970."""

    first: float
    last: float


class Spool:
    """The spool of one node. Objects are put in by any thread, and studies are moved by one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._arriving = path / "arriving"
        self._lock = threading.Lock()
        self._coming: dict[str, Coming] = {}

    def open(self, *, heard_since: float = 0.0) -> None:
        """Make the folders, take away halves of objects, and find out what was coming.

        Args:
            heard_since: when the node began to listen, in seconds since 1970: a study counts as heard of then.

        Raises:
            StoreError: the folders can't be made.
        """
        try:
            shutil.rmtree(self._arriving, ignore_errors=True)
            for folder in (self._arriving, *map(self.folder, State)):
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_written(self.path, error, what="the spool") from error
        for folder in self.folder(State.RECEIVED).iterdir():
            times = [path.stat().st_mtime for path in folder.iterdir()] or [folder.stat().st_mtime]
            self._coming[folder.name] = Coming(min(times), max(*times, heard_since))

    def folder(self, state: State, study: str = "") -> Path:
        """Return the folder of a state, or of a study in it."""
        return self.path / state / study

    @property
    def coming(self) -> dict[str, Coming]:
        """Return the studies of which objects come, each with the times of its first and last one."""
        with self._lock:
            return dict(self._coming)

    def studies(self, state: State) -> list[str]:
        """Return the studies in a state, in the order in which they came into it."""
        folders = [path for path in self.folder(state).iterdir() if path.is_dir()]
        return [path.name for path in sorted(folders, key=lambda path: (path.stat().st_mtime, path.name))]

    def since(self, state: State, study: str) -> float:
        """Return when a study came into its state, in seconds since 1970."""
        return self.folder(state, study).stat().st_mtime

    def arrived(self, state: State, study: str) -> float:
        """Return when the newest object of a study came, in seconds since 1970."""
        return max(path.stat().st_mtime for path in self.folder(state, study).iterdir())

    def put(self, study: str, image: str, content: Iterable[bytes | memoryview]) -> None:
        """Keep an object of a study: once this returns, it is on the disk itself.

        Args:
            study: StudyInstanceUID.
            image: SOPInstanceUID; a second object with it takes the place of the first.
            content: the file, in pieces.

        Raises:
            OSError: it can't be written, for want of space perhaps; nothing of it is left.
        """
        part = self._arriving / uuid.uuid4().hex
        name = name_of(study)
        try:
            with part.open("wb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
            with self._lock:  # no study is moved between these lines
                folder = self.folder(State.RECEIVED, name)
                new = name not in self._coming
                folder.mkdir(exist_ok=True)
                part.replace(folder / f"{name_of(image)}.dcm")
                now = time.time()
                self._coming[name] = Coming(now if new else self._coming[name].first, now)
                handle = os.open(folder, os.O_RDONLY)
            _flush(handle)
            if new:
                _flush(os.open(folder.parent, os.O_RDONLY))
        finally:
            part.unlink(missing_ok=True)

    def close_study(self, study: str) -> bool:
        """Take a study of which no more objects come to `complete`, with what came of it before.

        A study that is in a later state goes back only if an object is new or has changed. One that failed goes back in
        any case: who sends it again wants it done.

        Returns:
            Whether the study is complete now; False where nothing is new.
        """
        with self._lock:
            self._coming.pop(study, None)
            fresh, state = self.folder(State.RECEIVED, study), self.state(study)
            if state is not None:
                self._without_known(fresh, self.folder(state, study))
            if state is not State.FAILED and not any(fresh.iterdir()):
                fresh.rmdir()
                return False
            if state is not None:
                self._join(self.folder(state, study), fresh)
            self._rename(study, State.RECEIVED, State.COMPLETE)
        return True

    def state(self, study: str) -> State | None:
        """Return the later state in which a study is."""
        return next((state for state in LATER if self.folder(state, study).exists()), None)

    def move(self, study: str, old: State, new: State, reason: str = "") -> None:
        """Move a study to another state; a reason, why it failed, is written beside it."""
        if reason:
            write_text(self._reason(study), f"{reason}\n")
        self._rename(study, old, new)

    def remove(self, state: State, study: str) -> None:
        """Take a study away, whole or not at all."""
        gone = self._arriving / uuid.uuid4().hex
        self.folder(state, study).rename(gone)
        shutil.rmtree(gone)

    def _rename(self, study: str, old: State, new: State) -> None:
        self.folder(old, study).rename(self.folder(new, study))
        os.utime(self.folder(new, study))
        if new is not State.FAILED:
            self._reason(study).unlink(missing_ok=True)

    def _reason(self, study: str) -> Path:
        return self.folder(State.FAILED) / f"{study}.txt"

    @staticmethod
    def _without_known(fresh: Path, older: Path) -> None:
        """Take out of a folder what another holds byte by byte."""
        for path in sorted(fresh.iterdir()):
            other = older / path.name
            if other.exists() and filecmp.cmp(path, other, shallow=False):
                path.unlink()

    @staticmethod
    def _join(older: Path, fresh: Path) -> None:
        """Move what a folder holds into another, where that has nothing newer; whoever is killed over it goes on."""
        for path in sorted(older.iterdir()):
            if not (fresh / path.name).exists():
                path.rename(fresh / path.name)
        shutil.rmtree(older)


def name_of(uid: str) -> str:
    """Return the file name of a UID: itself, or a digest of one that isn't a safe name."""
    return uid if is_safe_uid(uid) else f"unnamed-{hashlib.sha256(uid.encode()).hexdigest()[:16]}"


def _flush(folder: int) -> None:
    """Bring the names in an open folder to the disk, and close it."""
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
