"""Every study below a folder: the headers of those still to be done, and whose studies they all are."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from pectl.core.data.dicom import SliceHeader, find_files, is_safe_uid, read_header
from pectl.errors import InputMissingError, StudyRefusedError


@dataclass
class Cohort:
    """The studies of a root.

    Attributes:
        todo: headers by study, of the studies of this shard that aren't finished.
        patient_id: PatientID by study, of all studies; it never leaves the process.
        n_known: studies of this shard that were finished before.
        unreadable: files that can't be read, or whose header is damaged.
    """

    todo: dict[str, tuple[SliceHeader, ...]] = field(default_factory=dict)
    patient_id: dict[str, str] = field(default_factory=dict)
    n_known: int = 0
    unreadable: list[Path] = field(default_factory=list)


def index_files(root: Path, *, shard: tuple[int, int] | None = None, known: Callable[[str], bool]) -> Cohort:
    """Read the header of every file below `root` and group them by study.

    Args:
        root: a folder or one file.
        shard: (index from 0, count); only the headers of this share are kept.
        known: tells whether a study is finished.

    Raises:
        InputMissingError: no such folder, or no DICOM inside.
    """
    if not root.exists():
        raise InputMissingError(
            where=root, expected="a folder with DICOM files", found="no such folder", fix="check the path"
        )
    cohort, unnamed = Cohort(), _Unnamed()
    kept: dict[str, list[SliceHeader]] = {}
    n_files = 0
    for path in find_files(root):
        n_files += 1
        header = _read(path, cohort)
        if header is None:
            continue
        uid = header.study_uid if is_safe_uid(header.study_uid) else unnamed.name(path.parent)
        if uid not in cohort.patient_id:
            cohort.patient_id[uid] = header.patient_id
            _register(uid, kept, cohort, mine=in_shard(uid, shard), known=known)
        if uid in kept:
            kept[uid].append(header)
    if not cohort.patient_id:
        raise InputMissingError(
            where=root, expected="DICOM files", found=f"none among {n_files} files", fix="check the path"
        )
    cohort.todo = {uid: tuple(headers) for uid, headers in kept.items()}
    return cohort


def _read(path: Path, cohort: Cohort) -> SliceHeader | None:
    try:
        return read_header(path)
    except (OSError, StudyRefusedError):
        cohort.unreadable.append(path)
        return None


def _register(
    uid: str, kept: dict[str, list[SliceHeader]], cohort: Cohort, *, mine: bool, known: Callable[[str], bool]
) -> None:
    """Open a place for the headers of a study, if this run has to do it."""
    if mine and known(uid):
        cohort.n_known += 1
    elif mine:
        kept[uid] = []


def in_shard(uid: str, shard: tuple[int, int] | None) -> bool:
    """Tell whether a study belongs to a shard, whatever other studies there are."""
    if shard is None:
        return True
    index, count = shard
    return int(hashlib.sha256(uid.encode()).hexdigest(), 16) % count == index


class _Unnamed:
    """Names for studies without a usable UID: one a folder, numbered, saying nothing about the patient."""

    def __init__(self) -> None:
        self._names: dict[Path, str] = {}

    def name(self, folder: Path) -> str:
        return self._names.setdefault(folder, f"unnamed-{len(self._names) + 1:04d}")
