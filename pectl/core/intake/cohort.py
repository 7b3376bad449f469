"""The studies among the files of an index: headers in little memory, patients as tokens, files that can't be used."""

import hashlib
import json
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pectl.core.dicom.header_cache import Known
from pectl.core.dicom.headers import Row, SliceHeader, is_safe_uid, pack_header, packed_value, unpack_header
from pectl.core.dicom.patients import join_patients, shared_by_too_many
from pectl.core.dicom.sources import FileEntry
from pectl.core.intake.findings import Fault, Finding
from pectl.core.storage.stamp import digest_of
from pectl.core.volumes.stated import Stated

_FileRow = tuple[str, str, Row]
"""Path, size and time, and the header without its path."""


_Packed = tuple[tuple[str, ...], bytes]
"""The patients' tokens of a study's files, and the files in little memory."""
_MOST_NAMED = 5
"""Other studies of a patient that a study's findings name; all of them would grow with the square of the studies."""


@dataclass
class Cohort:
    """The studies among the files.

    Attributes:
        patient: token of PatientID by study, of all studies, the same where studies share one; empty where there
            is none.
        faults: files that can't be used.
        n_files: files looked at.
        n_other: files that aren't DICOM and don't claim to be.
        n_known: studies of this shard that were finished before.
        packed: headers by study, of the studies of this shard that aren't finished.
        notes: what the index has found about studies.
        remarks: what it has found about all of them together.
    """

    patient: dict[str, str] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    n_files: int = 0
    n_other: int = 0
    n_known: int = 0
    packed: dict[str, list[bytes]] = field(default_factory=dict)
    notes: dict[str, list[Finding]] = field(default_factory=dict)
    remarks: list[Finding] = field(default_factory=list)

    @property
    def todo(self) -> list[str]:
        """Return the studies of this shard that aren't finished, sorted."""
        return sorted(self.packed)

    def task(self, uid: str) -> "PackedStudy":
        """Return what another process needs to examine a study."""
        return PackedStudy(uid, tuple(self.packed[uid]), tuple(self.notes.get(uid, ())))


@dataclass(frozen=True)
class PackedStudy:
    """A study's headers in little memory, and what the index has found about it."""

    uid: str
    packed: tuple[bytes, ...]
    notes: tuple[Finding, ...]

    @property
    def headers(self) -> list[SliceHeader]:
        """Return the header of every image."""
        return [unpack_header(Path(path), row) for path, _, row in self._rows()]

    @property
    def digest(self) -> str:
        """Return the identity of the files: their SOPInstanceUIDs, sizes and times, and what was noted.

        Reports, key images and what else joins a study later don't make it another one: beside CT they don't count.
        """
        files = sorted([packed_value(row, "sop_uid"), stamp] for _, stamp, row in self._of_ct())
        return digest_of(files, [[note.code, note.detail] for note in self.notes])

    @property
    def newest_ns(self) -> int:
        """Return when the last of these files was written, in nanoseconds since 1970; 0 where that isn't known."""
        return max((int(stamp.rpartition("-")[2]) for _, stamp, _ in self._of_ct()), default=0)

    def _of_ct(self) -> list[_FileRow]:
        """Return the rows of CT images; all where there is none."""
        rows = list(self._rows())
        return [row for row in rows if packed_value(row[2], "modality") == "CT"] or rows

    def _rows(self) -> Iterator[_FileRow]:
        for packed in self.packed:
            yield from json.loads(zlib.decompress(packed))


@dataclass
class Part:
    """What a part of the files holds: packed headers by study, and by folder where the study has no usable UID."""

    number: int
    n_files: int = 0
    n_other: int = 0
    studies: dict[str, _Packed] = field(default_factory=dict)
    unnamed: dict[str, _Packed] = field(default_factory=dict)
    folders: dict[str, set[str]] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    volumes: list[tuple[str, Path]] = field(default_factory=list)

    def add_volumes(self, files: list[tuple[FileEntry, SliceHeader]], stated: Stated) -> None:
        """Add volume files; what is stated of them is part of their identity."""
        self.n_files += len(files)
        for entry, header in files:
            row = (str(entry.path), f"{stated}{entry.size}-{entry.mtime_ns}", pack_header(header))
            tokens, packed = self.studies.get(header.study_uid, ((), b""))
            known = json.loads(zlib.decompress(packed)) if packed else []
            self.studies[header.study_uid] = tokens, _pack([*known, row])[1]
            self.volumes.append((header.study_uid, entry.path))


def in_shard(uid: str, shard: tuple[int, int] | None) -> bool:
    """Tell whether a study belongs to a shard, whatever other studies there are."""
    if shard is None:
        return True
    index, count = shard
    return int(hashlib.sha256(uid.encode()).hexdigest(), 16) % count == index


def group_files(number: int, files: list[tuple[FileEntry, Known]]) -> Part:
    """Group the headers of a part's files by study, and by folder where the study has no usable UID."""
    part = Part(number, n_files=len(files))
    studies: dict[str, list[_FileRow]] = defaultdict(list)
    unnamed: dict[str, list[_FileRow]] = defaultdict(list)
    for entry, known in files:
        parent, stamp = str(entry.path.parent), f"{entry.size}-{entry.mtime_ns}"
        part.n_other += known.kind == "other"
        part.faults += [Fault(entry.path, known.kind)] if known.kind not in ("dicom", "other") else []
        part.faults += [Fault(entry.path, "damaged_header")] * known.n_damaged
        for header in known.headers:
            uid = packed_value(header, "study_uid")
            if is_safe_uid(uid):
                part.folders.setdefault(parent, set()).add(uid)
            (studies[uid] if is_safe_uid(uid) else unnamed[parent]).append((str(entry.path), stamp, header))
    part.studies = {uid: _pack(rows) for uid, rows in studies.items()}
    part.unnamed = {place: _pack(rows) for place, rows in unnamed.items()}
    return part


def _pack(rows: list[_FileRow]) -> _Packed:
    """Return the patients' tokens, and the rows in a tenth of their size."""
    tokens = {str(packed_value(header, "patient_id")) for _, _, header in rows} - {""}
    return tuple(sorted(tokens)), zlib.compress(json.dumps(rows, separators=(",", ":")).encode(), 1)


class Groups:
    """The studies of all parts. A study without a usable UID is named by its folder's number, which says nothing."""

    def __init__(self) -> None:
        self._studies: dict[str, list[_Packed]] = defaultdict(list)
        self._unnamed: dict[str, list[_Packed]] = defaultdict(list)
        self._folders: dict[str, set[str]] = defaultdict(set)
        self._faults: list[Fault] = []
        self._volumes: dict[str, list[Path]] = defaultdict(list)

    def add(self, part: Part) -> None:
        """Add what a part holds."""
        for uid, packed in part.studies.items():
            self._studies[uid].append(packed)
        for place, packed in part.unnamed.items():
            self._unnamed[place].append(packed)
        for folder, uids in part.folders.items():
            self._folders[folder] |= uids
        self._faults += part.faults
        for uid, path in part.volumes:
            self._volumes[uid].append(path)

    def into(self, cohort: Cohort, *, shard: tuple[int, int] | None, known: Callable[[str], bool]) -> None:
        """Fill the cohort: every study's patient, and the headers of those that this run has to do."""
        homes = {fault: self._home(fault) for fault in self._faults}
        places = sorted({*self._unnamed, *(home for home in homes.values() if home not in self._studies)})
        names = {place: f"unnamed-{number:04d}" for number, place in enumerate(places, start=1)}
        studies = self._studies | {name: self._unnamed.get(place, []) for place, name in names.items()}
        tokens = {uid: {token for found, _ in packed for token in found} for uid, packed in studies.items()}
        placeholders = shared_by_too_many(tokens)
        cohort.remarks = [_shared_by(count, len(studies)) for count in placeholders.values()]
        patients = {uid: found - placeholders.keys() for uid, found in tokens.items()}
        cohort.patient = join_patients(patients)
        repeated = [path for paths in self._volumes.values() if len(paths) > 1 for path in paths]
        cohort.faults = self._faults + [Fault(path, "repeated_id") for path in repeated]
        mine = [uid for uid in studies if in_shard(uid, shard)]
        todo = [uid for uid in mine if not known(uid)]
        cohort.n_known = len(mine) - len(todo)
        cohort.packed = {uid: [packed for _, packed in studies[uid]] for uid in todo}
        faults = Counter((names.get(home, home), fault.code) for fault, home in homes.items())
        cohort.notes = _notes(faults, cohort, patients)

    def _home(self, fault: Fault) -> str:
        """Return the study that a faulty file belongs to: the only one of its folder; else the folder or archive."""
        if fault.code in ("damaged_archive", "unreadable_folder"):
            return str(fault.path)
        folder = str(fault.path.parent)
        uids = self._folders.get(folder, set())
        return next(iter(uids)) if len(uids) == 1 else folder


def _shared_by(count: int, n_studies: int) -> Finding:
    text = f"one PatientID in {count} of {n_studies} studies: each of them counts as a patient of its own"
    return Finding("shared_patient_id", text)


def _notes(faults: Counter[tuple[str, str]], cohort: Cohort, patients: dict[str, set[str]]) -> dict[str, list[Finding]]:
    """Return what is known of studies before their pixels are read."""
    notes: dict[str, list[Finding]] = defaultdict(list)
    for (uid, code), count in sorted(faults.items()):
        files = f"{count} {'folder' if code == 'unreadable_folder' else 'file'}{'s' if count > 1 else ''}"
        beside = Finding("damaged_files", f"{files} ({code})") if cohort.packed.get(uid) else Finding(code, files)
        notes[uid].append(beside)
    for uid, tokens in patients.items():
        if len(tokens) > 1:
            notes[uid].append(Finding("several_patients", f"{len(tokens)} PatientIDs"))
    by_patient: dict[str, list[str]] = defaultdict(list)
    for uid, token in sorted(cohort.patient.items()):
        by_patient[token or uid].append(uid)
    for uids in by_patient.values():
        for uid in uids if len(uids) > 1 else ():
            notes[uid].append(Finding("patient_in_several_studies", _beside(uid, uids)))
    return notes


def _beside(uid: str, uids: list[str]) -> str:
    """Name the first of a patient's other studies."""
    others = [other for other in uids[: _MOST_NAMED + 1] if other != uid][:_MOST_NAMED]
    more = len(uids) - 1 - len(others)
    return f"{len(uids)} studies, beside this one {', '.join(others)}{f' and {more} more' if more else ''}"
