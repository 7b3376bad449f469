"""From what a user gave to studies that a model can be shown: DICOM in any form, or a study store. Imports no torch."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from pectl.config import PreprocessConfig
from pectl.core.intake.cohort import PackedStudy, in_shard
from pectl.core.intake.examine import examine, make_study
from pectl.core.intake.findings import Fault, Finding
from pectl.core.intake.index import index_files
from pectl.core.intake.study_labels import StudyLabels
from pectl.core.intake.tasks import Progress, verdict_path
from pectl.core.intake.verdicts import Verdict, read_verdict
from pectl.core.storage.stamp import check_lineage, digest_of, read_stamp
from pectl.core.stores.paths import study_path
from pectl.core.stores.study_store import FORMAT, VERSION, read_study, store_digest
from pectl.core.stores.tables import MADE_BY
from pectl.core.volumes.stated import Given
from pectl.errors import InputMissingError, StoreError
from pectl.inference.studies import Found, Read, Ticket

_OF_OTHERS = "patient_in_several_studies"


def find_studies(
    given: Given, *, index: Path, shard: tuple[int, int] | None = None, progress: Progress | None = None
) -> Found:
    """Find every study among the sources.

    Args:
        given: folders, files, archives, a DICOMDIR, or study stores; and what is stated of volumes.
        index: folder that keeps the headers of DICOM files.
        shard: (index from 0, count): only this share of the studies.
        progress: called with (files done, files found so far).

    Returns:
        The studies by arrival; where one is in several sources, a store's, else all its files together.

    Raises:
        InputMissingError: no such source, or no study inside.
    """
    stores = [source for source in given.paths if is_store(source)]
    others = [source for source in given.paths if not is_store(source)]
    tickets = {ticket.uid: ticket for store in stores for ticket in _stored(store)}
    faults: tuple[Fault, ...] = ()
    if others:
        cohort = index_files(
            given._replace(paths=others), folder=index, shard=shard, known=lambda uid: False, progress=progress
        )
        tickets = {uid: _ticket(cohort.task(uid)) for uid in cohort.todo} | tickets
        faults = tuple(cohort.faults)
    elif not tickets:
        raise InputMissingError(
            where=", ".join(map(str, given.paths[:3])), expected="studies", found="none", fix="check the path"
        )
    mine = [ticket for ticket in tickets.values() if in_shard(ticket.uid, shard)]
    return Found(tuple(sorted(mine, key=lambda ticket: (ticket.arrived, ticket.uid))), faults)


def is_store(source: Path) -> bool:
    """Tell whether a folder is a finished study store."""
    return (source / "store.json").is_file()


def check_stores(sources: Sequence[Path], config: PreprocessConfig, *, model: str) -> None:
    """Refuse study stores of other preprocessing than the model's.

    Raises:
        LineageError: the digests differ; both are named.
        StoreError: not a store of this version.
    """
    for store in filter(is_store, sources):
        stamp, _ = read_stamp(store / "store.json", format=FORMAT, version=VERSION, made_by=MADE_BY)
        what = f"a study store preprocessed as for the model {model}:"
        check_lineage(where=store, expected=store_digest(config), found=stamp.digest, what=what)


def _stored(store: Path) -> Iterator[Ticket]:
    for path in sorted((store / "verdicts").glob("*.json")):
        there = [one.stat() for one in (path, study_path(store, path.stem)) if one.exists()]
        digest = digest_of(path.stem, [[one.st_size, one.st_mtime_ns] for one in there])
        yield Ticket(path.stem, digest, max(one.st_mtime for one in there), store=store)


def _ticket(found: PackedStudy) -> Ticket:
    """Leave out what depends on the other studies: it says nothing of this one, and must not make it new."""
    study = replace(found, notes=tuple(note for note in found.notes if note.code != _OF_OTHERS))
    return Ticket(study.uid, study.digest, study.newest_ns / 1e9, study.packed, study.notes)


def reader(config: PreprocessConfig) -> "partial[Read]":
    """Return `read` for one preprocessing, to be given to another process."""
    return partial(read, config=config)


def read(ticket: Ticket, config: PreprocessConfig) -> Read:
    """Read a study.

    Args:
        ticket: of `find_studies`.
        config: the preprocessing; that of a store has been compared with it.

    Raises:
        StoreError: an archive's files can't be unpacked; the disk is full.
    """
    return _read_dicom(ticket, config) if ticket.store is None else _read_stored(ticket.store, ticket.uid)


def _read_dicom(ticket: Ticket, config: PreprocessConfig) -> Read:
    headers, labels = PackedStudy(ticket.uid, ticket.headers, ticket.notes).headers, StudyLabels()
    examined = examine(ticket.uid, headers, config, labels=labels, known=ticket.notes)
    if examined.usable is None:
        return Read(examined.verdict, None)
    return Read(examined.verdict, make_study(examined.usable, examined.verdict, config, labels))


def _read_stored(store: Path, uid: str) -> Read:
    damaged = Finding("damaged_store_file", "")
    verdict = Verdict(study=uid, series="", choice="", findings=(damaged,))
    try:
        verdict = read_verdict(verdict_path(store, uid), made_by=MADE_BY)
        return Read(verdict, None if verdict.refused else read_study(study_path(store, uid)))
    except StoreError:
        return Read(verdict.refused_for(damaged.code, damaged.detail), None)


def read_one_study(given: Given, config: PreprocessConfig, *, model: str) -> Read:
    """Read the only study of what is given.

    Args:
        given: a folder, file, archive, DICOMDIR or study store.
        config: the preprocessing.
        model: whose preprocessing it is, for an error.

    Raises:
        InputMissingError: no such source, or not one study inside.
        LineageError: a study store of other preprocessing.
        StoreError: the disk is full.
    """
    check_stores(given.paths, config, model=model)
    with TemporaryDirectory(prefix="pectl-") as index:
        tickets = find_studies(given, index=Path(index)).tickets
    if len(tickets) != 1:
        raise InputMissingError(
            where=", ".join(map(str, given.paths)),
            expected="one study",
            found=f"{len(tickets)}: {', '.join(ticket.uid for ticket in tickets[:3])}",
            fix="give the folder of one, or use pectl predict",
        )
    return read(tickets[0], config)
