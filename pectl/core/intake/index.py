"""Every study among the files given: whose headers are read once, kept in an index, and grouped by study.

The files, in their order, are cut into parts of about a thousand. A part is read in one go by one process, and kept;
later runs, and other jobs of a SLURM array, only look at each file's size and time. Where a part is cut depends on the
names of the files around the cut alone, so that a new file changes one part.
"""

import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from pectl.core.dicom.file_headers import UNREADABLE, read_file
from pectl.core.dicom.header_cache import HeaderCache, Known
from pectl.core.dicom.sources import FileEntry, find_entries
from pectl.core.intake.cohort import Cohort, Groups, Part, group_files
from pectl.core.storage.workers import run_in_processes
from pectl.core.volumes.formats import WITHOUT_SPACING, check_readable, suffix_of
from pectl.core.volumes.slices import whole_file
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError

Progress = Callable[[int, int], None]

_MEAN_PART, _LARGEST_PART = 1024, 8192
_WAIT_SECONDS = 0.2
_PRELOAD = "pectl.core.intake.store_study"
"""More than the index needs: processes of the studies' work are forked from the one that the index's first are."""


def index_files(
    given: Given,
    *,
    folder: Path,
    workers: int = 1,
    shard: tuple[int, int] | None = None,
    known: Callable[[str], bool],
    progress: Progress | None = None,
) -> Cohort:
    """Find the header of every image and group them by study.

    Args:
        given: where to look.
        folder: of the index; what is there already isn't read again.
        workers: processes that read.
        shard: (index from 0, count); only the headers of this share of the studies are kept in memory.
        known: tells whether a study is finished.
        progress: called with (files done, files found so far).

    Raises:
        InputMissingError: no such source, no DICOM or volume inside, or an extra that reads volumes lacks.
        StoreError: the index can't be written.
    """
    cohort, groups = Cohort(), Groups()
    parts: list[Part] = []
    found = [0]
    counted = _counted(_cut(find_entries(given.paths)), found)
    for part in _read_parts(counted, given, folder, workers, shared=shard is not None):
        parts.append(part)
        cohort.n_files += part.n_files
        if progress:
            progress(cohort.n_files, found[0])
    for part in sorted(parts, key=lambda part: part.number):
        groups.add(part)
        cohort.n_other += part.n_other
    groups.into(cohort, shard=shard, known=known)
    if not cohort.patient:
        raise InputMissingError(
            where=", ".join(map(str, given.paths[:3])),
            expected="DICOM files or volumes",
            found=f"none among {cohort.n_files} files",
            fix="check the path; NumPy arrays in a folder count with --spacing alone",
        )
    return cohort


def _cut(entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
    """Cut the files into parts after files whose names say so, the same whatever other files there are."""
    part: list[FileEntry] = []
    for entry in entries:
        part.append(entry)
        if zlib.crc32(str(entry.path).encode(errors="surrogateescape")) % _MEAN_PART == 0 or len(part) == _LARGEST_PART:
            yield part
            part = []
    if part:
        yield part


def _counted(parts: Iterable[list[FileEntry]], found: list[int]) -> Iterator[tuple[int, list[FileEntry]]]:
    for number, part in enumerate(parts):
        found[0] += len(part)
        yield number, part


def _read_parts(
    parts: Iterable[tuple[int, list[FileEntry]]], given: Given, folder: Path, workers: int, *, shared: bool
) -> Iterator[Part]:
    """Read all parts; those that another job is reading are asked for again until they are there."""
    while True:
        postponed: list[tuple[int, list[FileEntry]]] = []
        read = partial(_read_part, given=given, folder=folder, shared=shared)
        for number, entries, part in run_in_processes(read, parts, workers=workers, preload=_PRELOAD, name=_name):
            if part is None:
                postponed.append((number, entries))
            else:
                yield part
        if not postponed:
            return
        time.sleep(_WAIT_SECONDS)
        parts = postponed


def _name(numbered: tuple[int, list[FileEntry]]) -> str:
    return f"{len(numbered[1])} files from {numbered[1][0].path} on"


def _read_part(
    numbered: tuple[int, list[FileEntry]], *, given: Given, folder: Path, shared: bool
) -> tuple[int, list[FileEntry], Part | None]:
    """Read one part, from the index where it is there; None where another job is reading it."""
    number, entries = numbered
    cache = HeaderCache(folder)
    name = cache.place(entries[0].path)
    volumes: list[FileEntry] = []
    others: list[FileEntry] = []
    for entry in entries:
        (volumes if _is_volume(entry, given) else others).append(entry)
    files = _cached(cache, name, others)
    if None in (known for _, known in files):
        if shared and not cache.claim(name):
            return number, entries, None
        try:
            files = [(entry, known or read_file(entry, cache)) for entry, known in files]
            cache.write(name, [(entry, known) for entry, known in files if known and known.kind not in UNREADABLE])
        finally:
            if shared:
                cache.release(name)
    part = group_files(number, [(entry, known) for entry, known in files if known])
    part.add_volumes([(entry, whole_file(entry.path, given.stated)) for entry in volumes], given.stated)
    return number, [], part


def _is_volume(entry: FileEntry, given: Given) -> bool:
    """Tell whether a file is a volume by its name; arrays in a folder may be anything, so the user has to say so.

    Raises:
        InputMissingError: what reads it isn't installed.
    """
    suffix = suffix_of(entry.path)
    if not suffix or entry.size < 0 or given.dicom_alone:
        return False
    if suffix in WITHOUT_SPACING and given.stated.spacing_mm is None and entry.path not in given.paths:
        return False
    check_readable(suffix)
    return True


def _cached(cache: HeaderCache, name: str, entries: list[FileEntry]) -> list[tuple[FileEntry, Known | None]]:
    kept = cache.read(name)
    return [(entry, kept.get((cache.place(entry.path), entry.size, entry.mtime_ns))) for entry in entries]
